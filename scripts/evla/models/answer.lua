-- answer.lua: what a decoder says to a text with a picture in it, as graphs of a fixed size, for a schedule and so for a rollout: `read`
-- reads all of the text and gives the first token of the answer, `say` one more each time it runs ({ graph = "say", times = n - 1 }).
-- Keys and values stand in states that both share, in the number format and the order that evla.generate has them in, so the answer is
-- the same. A model file adds the two to its graphs; they are there when the option `told` holds the text.
local llama = require "llama"

local answer, BLOCK = {}, 16

function answer.options(own)
  own.says = { type = "int", default = 16, min = 1, max = 1024, doc = "tokens of an answer to the text told" }
  own.ends = { type = "list", of = "int", optional = true, doc = "tokens that end it; in their place and behind them stand -1" }
  return own
end

local function row(g, list) return g:const(("i32[%d]"):format(#list), list) end

local function counted(n)
  local list = {}
  for i = 1, n do list[i] = i - 1 end
  return list
end

-- The text without its mark: the tokens before the picture and those behind it.
function answer.split(told)
  local parts = { {} }
  for _, id in ipairs(told) do
    if id == -1 then parts[#parts + 1] = {} else table.insert(parts[#parts], id) end
  end
  if #parts ~= 2 or #parts[2] == 0 then error(("told: want tokens with -1 once, where the picture stands, and a text behind it; it is there %d times"):format(#parts - 1), 0) end
  return parts[1], parts[2]
end

-- Keys and values of rows 0 to n - 1 in blocks; position i32[T] is also where each token's own go, and the last that it sees.
local function blocks(g, p, n, x, position)
  local held = (n + BLOCK - 1) // BLOCK
  local pool, order = ("%s[%d,%d,%d]"):format(p.kv, held, BLOCK, p.kv_heads * p.head), row(g, counted(held))
  return llama.blocks(g, p, x, position, function(i, q, k, v)
    local function kept(of, y) return g.kv_write { g:state(("answer.%s.%d"):format(of, i), pool), y, position } end
    return g.paged_attention { q, kept("k", k), kept("v", v), order, position, heads = p.heads, kv_heads = p.kv_heads }
  end)
end

-- The likeliest token behind x f32[1,width], of equal ones the first: i32[1], -1 in place of one that ends the answer.
local function chosen(g, p, x, lowest, highest)
  local logits, n, back = llama.logits(g, p, x), highest - lowest + 1, {}
  if n < p.vocabulary then logits = g.slice { logits, axis = 1, start = lowest, stop = highest + 1 } end
  for i = 1, n do back[i] = n + 1 - i end
  local is_less = g.less { logits, g.reduce_max { logits, axes = { 1 }, keepdims = true } }
  local first = g.reduce_max { g.where { is_less, g:const("f32", 0), g:const(("f32[1,%d]"):format(n), { back }) }, axes = { 1 } }
  local word = g.cast { g.sub { highest + 1, first }, to = "i32" }
  for _, id in ipairs(p.ends or {}) do word = g.where { g.equal { word, row(g, { id }) }, row(g, { -1 }), word } end
  return word
end

-- rows: of the picture; n: tokens of an answer, from `lowest` to `highest`. Outputs: ids i32[n], -1 where none is yet, and word i32[1],
-- the newest.
function answer.graphs(p, rows, n, lowest, highest, graphs)
  if not p.told then return graphs end
  local before, after = answer.split(p.told)
  local text = #before + rows + #after
  local function put(g, ids, at, word) return g.where { g.equal { row(g, counted(n)), at }, word, ids } end
  function graphs.read(g)
    local parts = { axis = 0, g:input("rows", ("f32[%d,%d]"):format(rows, p.width)), llama.embed(g, p, row(g, after)) }
    if #before > 0 then table.insert(parts, 1, llama.embed(g, p, row(g, before))) end
    local x = blocks(g, p, text + n - 1, g.concat(parts), row(g, counted(text)))
    local word, none = chosen(g, p, g.slice { x, axis = 0, start = text - 1, stop = text }, lowest, highest), {}
    for i = 1, n do none[i] = -1 end
    g:output("ids", put(g, row(g, none), g:const("i32", 0), word))
    g:output("word", word)
  end
  function graphs.say(g)
    local step, last = g:input("step", "i32[]"), g:input("word", "i32[1]")
    local x = llama.embed(g, p, g.maximum { last, g:const("i32", 0) })
    local word = chosen(g, p, blocks(g, p, text + n - 1, x, g.add { row(g, { text }), step }), lowest, highest)
    word = g.where { g.less { last, g:const("i32", 0) }, last, word }
    g:output("ids", put(g, g:input("ids", ("i32[%d]"):format(n)), g.add { step, g:const("i32", 1) }, word))
    g:output("word", word)
  end
  return graphs
end

return answer
