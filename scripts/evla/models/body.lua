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
-- is a picture without that axis, pictures may be { height, width } instead, and `apart`, so many of them, are each an output of its
-- own, picture1, picture2; an answer without rows is one action, of rank 1. A model
-- without words is told when its graphs are made, one without state feels nothing, and one without answer moves nothing by itself:
-- views put it into a body.
function body.graphs(p, takes, graphs)
  local image, words, state, answer = takes.image, takes.words, takes.state, takes.answer
  local views, feels, told = p.views or {}, p.feels or {}, p.told or {}
  if not answer and p.moves > 0 then error(("moves: it answers in words, so it has no actions of %d numbers"):format(p.moves), 0) end
  if answer and p.moves == 0 or not answer and #views == 0 then return graphs end
  local cameras = image.cameras or image.apart or 1
  if #views ~= cameras then
    error(("views: it sees through %d camera%s, got %d channels"):format(cameras, cameras == 1 and "" or "s", #views), 0)
  end
  if not state and #feels > 0 then error(("feels: it takes nothing but pictures and words, got %d channels"):format(#feels), 0) end
  local height, width = image.height or image.side, image.width or image.side
  local function see(g)
    local seen = { axis = 0 }
    for i, name in ipairs(views) do
      local x = g:input(name, ("u8[%d,%d,3]"):format(height, width))
      seen[i] = image.cameras and g.reshape { x, shape = { 1, height, width, 3 } } or x
      if image.apart then g:output(image[1] .. i, x) end
    end
    if image.apart then return end
    g:output(image[1], #seen > 1 and g.concat(seen) or seen[1])
  end
  local function feel(g)
    local felt, n = { axis = 0 }, 0
    for i, text in ipairs(feels) do
      local name, count = text:match "^(%S+) f32%[(%d+)%]$"
      if not name then error(("feels: want a channel and its type, \"obs/joint_pos f32[7]\", got \"%s\""):format(text), 0) end
      felt[i], n = g:input(name, ("f32[%s]"):format(count)), n + tonumber(count)
    end
    if #felt == 0 then error("feels: want at least one channel", 0) end
    g:output(state[1], fit(g, #felt > 1 and g.concat(felt) or felt[1], 0, n, state.n))
  end
  function graphs.observe(g)
    see(g)
    if state then feel(g) end
    if not words then return end
    local ids = {}
    for i = 1, words.n do ids[i] = told[i] or 0 end
    g:output(words[1], g:const(("i32[%d]"):format(words.n), ids))
  end
  if not answer then return graphs end
  function graphs.command(g)
    local x = g:input("action", ("f32[%s%d]"):format(answer.rows and answer.rows .. "," or "", answer.n))
    g:output("action", g.clamp { fit(g, x, answer.rows and 1 or 0, answer.n, p.moves), min = -1, max = 1 })
  end
  return graphs
end

return body
