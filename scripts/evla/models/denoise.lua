-- denoise.lua: one step of a loop that takes noise away, as nodes of the graph that predicts the noise (or the velocity).
-- A schedule runs that graph several times ({ graph = "act", times = 10 }) and counts its input `step` from 0; x goes in and
-- comes out under one name. What differs from step to step stands in tables, a row per step, from constants or from weights.
local denoise = {}

-- The rank-0 counter, and the row of a table [steps,...] that it points at.
function denoise.step(g) return g:input("step", "i32[]") end
function denoise.row(g, table, step) return g.gather { table, step, axis = 0 } end

-- Nearest f32, as the code that these models were trained with keeps its times.
function denoise.f32(x) return (("f"):unpack(("f"):pack(x))) end

-- Flow matching by Euler's rule from t = 1 (noise) to 0 (Lipman et al. 2023): x + dt v, dt = -1/steps.
function denoise.flow(g, x, velocity, steps) return g.add { x, g.mul { velocity, -1 / steps } } end

-- The times of its steps, 1 - s/steps.
function denoise.times(steps)
  local out = {}
  for s = 0, steps - 1 do out[s + 1] = denoise.f32(1 - s / steps) end
  return out
end

local function of_step(g, list, step) return denoise.row(g, g:const(("f32[%d]"):format(#list), list), step) end

-- Real-time chunking (Black, Galliker, Levine 2025): a velocity that leads to what an earlier answer said where `weight` is 1, is
-- as it was where it is 0. previous, weight as x; x is what the velocity was made of.

-- By inpainting, which they compare theirs with: what stands at the end t = 0 draws x there in a straight line, so a step of
-- Euler's rule leaves x as if the noised earlier answer had been put in its place.
function denoise.inpaint(g, x, velocity, step, steps, previous, weight)
  local back = g.div { g.sub { x, previous }, of_step(g, denoise.times(steps), step) }
  return g.add { velocity, g.mul { weight, g.sub { back, velocity } } }
end

-- By guidance, their equations 2 to 4, where tau = 1 - t and the velocity has the other sign: towards what brings the end, as it
-- looks from here, closer to the earlier answer, by the derivative of the network. most: their beta.
function denoise.guide(g, x, velocity, step, steps, previous, weight, most)
  local pull = {}
  for s, t in ipairs(denoise.times(steps)) do pull[s] = t < 1 and math.min(most, ((1 - t) ^ 2 + t ^ 2) / ((1 - t) * t)) or most end
  local ends = g.sub { x, g.mul { velocity, of_step(g, denoise.times(steps), step) } }
  local off = g.mul { weight, g.sub { previous, ends } }
  return g.sub { velocity, g.mul { g.gradient { ends, x, off }, of_step(g, pull, step) } }
end

-- Sines, then cosines, of every time at `half` angles: angle(t, part), where part goes from 0 to 1. A row [1, 2 half] per time.
function denoise.waves(times, half, angle)
  local out = {}
  for s, t in ipairs(times) do
    local row = {}
    for i = 0, half - 1 do
      local a = angle(t, half > 1 and i / (half - 1) or 0)
      row[i + 1], row[half + i + 1] = math.sin(a), math.cos(a)
    end
    out[s] = { row }
  end
  return out
end

-- A noise law as tables by step: step s looks at t = T-1-s. alpha_bar: product of the alphas up to t; before: that of t-1, 1
-- at the end.
local function turned(g, w, steps) -- rows T-1 .. 0
  local back = {}
  for s = 1, steps do back[s] = steps - s end
  return g.gather { w, g:const(("i32[%d]"):format(steps), back), axis = 0 }
end

-- Ancestral sampling (Ho et al. 2020). x0 = (x - sqrt(1 - ab) eps) / sqrt(ab); then `mean`:
--   "posterior"  the mean of q(x[t-1] | x[t], x0), spread sqrt(beta (1 - ab[t-1]) / (1 - ab[t]))     (eqs. 6 and 7)
--   "renoised"   sqrt(alpha) x0, spread sqrt(beta), as mini-vla samples
-- law: { alpha, alpha_bar, beta }, each f32[T]; noise f32[T,...]: row t is added after the step at t, none after the last.
function denoise.ddpm(g, x, eps, step, noise, law, steps, mean)
  local function at(w) return denoise.row(g, turned(g, w, steps), step) end
  local ab, alpha, beta = at(law.alpha_bar), at(law.alpha), at(law.beta)
  local x0 = g.div { g.sub { x, g.mul { g.sqrt(g.sub { 1, ab }), eps } }, g.sqrt(ab) }
  local drawn = g.gather { noise, g.sub { g:const("i32[]", steps - 1), step }, axis = 0 }
  local is_last = g.equal { step, g:const("i32[]", steps - 1) }
  local next_x
  if mean == "renoised" then
    next_x = g.add { g.mul { g.sqrt(alpha), x0 }, g.mul { g.sqrt(beta), drawn } }
  else
    local before = g.div { ab, alpha }
    local left = g.sub { 1, ab }
    next_x = g.add {
      g.add { g.mul { g.div { g.mul { g.sqrt(before), beta }, left }, x0 },
              g.mul { g.div { g.mul { g.sqrt(alpha), g.sub { 1, before } }, left }, x } },
      g.mul { g.sqrt(g.div { g.mul { beta, g.sub { 1, before } }, left }), drawn } }
  end
  return g.where { is_last, x0, next_x }
end

-- DDIM without noise (Song et al. 2021, eq. 12, sigma = 0) over `steps` of the law's T times, evenly spaced from the last.
-- alpha_bar f32[T].
function denoise.ddim(g, x, eps, step, alpha_bar, steps, T)
  local now, after = {}, {}
  for s = 0, steps - 1 do
    now[s + 1] = (steps - s) * T // steps - 1
    after[s + 1] = s < steps - 1 and (steps - s - 1) * T // steps - 1 or 0
  end
  local function at(list) return denoise.row(g, g.gather { alpha_bar, g:const(("i32[%d]"):format(steps), list), axis = 0 }, step) end
  local ab = at(now)
  local is_last = g.equal { step, g:const("i32[]", steps - 1) }
  local next_ab = g.where { is_last, 1, at(after) }
  local x0 = g.div { g.sub { x, g.mul { g.sqrt(g.sub { 1, ab }), eps } }, g.sqrt(ab) }
  return g.add { g.mul { g.sqrt(next_ab), x0 }, g.mul { g.sqrt(g.sub { 1, next_ab }), eps } }
end

return denoise
