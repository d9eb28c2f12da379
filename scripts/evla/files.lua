-- files.lua: what is asked of files before they are opened for good. What may not be read counts as not there.
local files = {}

local function opened(path)
  local ok, file = pcall(io.open, path, "rb")
  return ok and file or nil
end

function files.exists(path)
  local file <close> = opened(path)
  return file ~= nil
end

-- Bytes; nil: it is not there.
function files.size(path)
  local file <close> = opened(path)
  return file and file:seek "end" or nil
end

-- All that stands in it, or nil.
function files.read(path)
  local file <close> = opened(path)
  return file and file:read "a" or nil
end

return files
