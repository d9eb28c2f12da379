-- body.lua: a policy in a body that is not its own: `observe` makes its inputs of the body's channels, `command` actions of the
-- body of its answers. A model file adds them to its graphs; they are there when the option `moves` says how wide an action is.
local body = {}

local function list(of, doc) return { type = "list", of = of, optional = true, doc = doc } end

-- The options of a model file, with these.
function body.options(own)
  own.views = list("string", "channels of pictures of the size that it sees, \"cameras/front/rgb\", one a camera")
  own.feels = list("string", "channels of the robot's own state with their types, one behind the other: \"obs/joint_pos f32[7]\"")
  own.told = list("int", "numbers of the instruction's words; zeros behind them")
  own.moves = { type = "int", default = 0, min = 0, max = 4096, doc = "numbers of an action of the body; 0: it is in no body" }
  return own
end

-- x cut or filled up with zeros to n numbers along an axis, of which it has `has`.
local function fit(g, x, axis, has, n)
  if has > n then return g.slice { x, axis = axis, start = 0, stop = n } end
  return has < n and g.pad { x, axis = axis, after = n - has } or x
end

-- takes: how the model calls what it sees, reads and feels, and how large that is: { image = { "images", side = 512, cameras = 2 },
-- words = { "tokens", n = 48 }, state = { "state", n = 32 }, answer = { rows = 50, n = 6 } }. One camera without a number of them
-- is a picture without that axis.
function body.graphs(p, takes, graphs)
  if p.moves == 0 then return graphs end
  local image, words, state, answer = takes.image, takes.words, takes.state, takes.answer
  local views, feels, told = p.views or {}, p.feels or {}, p.told or {}
  if #views ~= (image.cameras or 1) then
    error(("views: it sees through %d cameras, got %d channels"):format(image.cameras or 1, #views), 0)
  end
  function graphs.observe(g)
    local seen, felt, width = { axis = 0 }, { axis = 0 }, 0
    for i, name in ipairs(views) do
      local x = g:input(name, ("u8[%d,%d,3]"):format(image.side, image.side))
      seen[i] = image.cameras and g.reshape { x, shape = { 1, image.side, image.side, 3 } } or x
    end
    g:output(image[1], #seen > 1 and g.concat(seen) or seen[1])
    for i, text in ipairs(feels) do
      local name, n = text:match "^(%S+) f32%[(%d+)%]$"
      if not name then error(("feels: want a channel and its type, \"obs/joint_pos f32[7]\", got \"%s\""):format(text), 0) end
      felt[i], width = g:input(name, ("f32[%s]"):format(n)), width + tonumber(n)
    end
    if #felt == 0 then error("feels: want at least one channel", 0) end
    g:output(state[1], fit(g, #felt > 1 and g.concat(felt) or felt[1], 0, width, state.n))
    local ids = {}
    for i = 1, words.n do ids[i] = told[i] or 0 end
    g:output(words[1], g:const(("i32[%d]"):format(words.n), ids))
  end
  function graphs.command(g)
    local x = fit(g, g:input("action", ("f32[%d,%d]"):format(answer.rows, answer.n)), 1, answer.n, p.moves)
    g:output("action", g.clamp { x, min = -1, max = 1 })
  end
  return graphs
end

return body
