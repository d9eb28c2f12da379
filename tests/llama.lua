-- llama.lua: what llama.t asks of a model, as JSON on the standard output: one answer for each line of questions.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options { questions = { type = "path", doc = "a JSON list" } }
local answers, some = {}, nil

local function list(tensor)
  local out = {}
  for i = 1, #tensor do out[i] = tensor[i] end
  return out
end

-- Rows of embeddings, from a file.
local function rows(q) return q.rows and evla.tensors(q.rows)["rows"] end

local ask = {}
function ask.logits(m, q) return list(m:text():logits(q.ids, { rows = rows(q), both = q.both })) end
function ask.encode(m, q) return m:text():encode(q.text, { whole = true }) end
function ask.decode(m, q) return m:text():decode(q.ids) end
function ask.info(m) return m:text():info() end
function ask.save(m, q) m:text():save(q.path, q.ids) return true end
function ask.load(m, q) return m:text():load(q.path) end
function ask.perplexity(m, q) return { m:perplexity(q.path) } end
function ask.chat(m, q)
  local out = {}
  for i, text in ipairs(q.turns) do out[i] = m:chat(text, { tokens = 8, quiet = true, system = q.system }) end
  return out
end
function ask.complete(m, q)
  local heard = {}
  local call = { rows = rows(q), both = q.both, ids = q.ids, prompt = q.prompt, tokens = q.tokens, stop = q.stop, special = q.special, ignore_end = q.ignore_end, quiet = true }
  if q.typo then call.tokns = 3 end
  call.loop = evla.loop[q.loop or "generate"](q.sampling or {})
  if q.enough then
    call.on_text = function(piece) heard[#heard + 1] = piece return #heard >= q.enough end
  elseif q.broken then
    call.on_text = function() error("the hearer broke", 0) end
  elseif q.meddles then
    call.on_text = function() local t = m:text() return t[q.meddles](t, q.meddles == "encode" and "other" or nil) end
  else
    call.on_text = function(piece) heard[#heard + 1] = piece end
  end
  local a = m:generate(call)
  a.heard = table.concat(heard)
  return a
end

local file <close> = assert(io.open(opt.questions))
for _, q in ipairs(json.decode(file:read "a")) do
  local ok, m = pcall(function()
    local cache = q.options.cache
    if cache then q.options.cache = evla[cache.kind or "cache"][cache.policy](cache.params or {}) end
    return evla.load(q.model, q.options)
  end)
  local out = {}
  if not ok then out[1] = { error = tostring(m) } end
  for i, one in ipairs(ok and q.ask or {}) do
    local fine, answer = pcall(ask[one[1]], m, one[2] or {})
    out[i] = fine and { answer = answer } or { error = tostring(answer) }
  end
  if ok then m:close() some = m.model end
  answers[#answers + 1] = out
end
print(json.encode(answers))
return evla.program { some }
