-- lots.lua: numbers by lot that are the same everywhere: SplitMix64 (Steele, Lea, Flood 2014), and normal ones of it (Box and
-- Muller 1958).
local lots = {}

-- Gives whole numbers of 53 bits, and normal numbers.
function lots.from(seed)
  local function bits()
    seed = seed + 0x9e3779b97f4a7c15
    local z = (seed ~ seed >> 30) * 0xbf58476d1ce4e5b9
    z = (z ~ z >> 27) * 0x94d049bb133111eb
    return (z ~ z >> 31) >> 11
  end
  local function normal() return math.sqrt(-2 * math.log((bits() + 1) * 0x1p-53)) * math.cos(2 * math.pi * (bits() + 1) * 0x1p-53) end
  return bits, normal
end

return lots
