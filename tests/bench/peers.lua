-- peers.lua: what `make bench-peers` asks of evla: one line of JSON about one model, the same as peers.mjs gives about the peer.
--   prompt_ms  of reading each of --prompts texts of 512 tokens; all are drawn by lot, so none is remembered
--   token_ms   between one token and the next, of --tokens that follow a text of one
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options {
  model = { type = "path", doc = "a GGUF file or a packed one" },
  prompts = { type = "int", default = 0, doc = "texts of 512 tokens" },
  tokens = { type = "int", default = 1, doc = "tokens to write" },
  seed = { type = "int", default = 1, doc = "of the texts" },
  warm = { type = "bool", default = true, doc = "read and write a little first" },
}
local m = evla.load(opt.model, { context = 1024, kv = not opt.model:find "%.evla$" and "f16" or nil })
local text, greedy = m:text(), evla.loop.generate {}
math.randomseed(opt.seed)

local function drawn(n)
  local ids = {}
  for i = 1, n do ids[i] = math.random(300, 31000) end
  return ids
end

local function asked(ids, tokens) return text:complete { ids = ids, tokens = tokens, ignore_end = true, loop = greedy } end

if opt.warm then asked(drawn(64), 4) end
local prompt_ms = {}
for i = 1, opt.prompts do prompt_ms[i] = asked(drawn(512), 1).prompt_ms end
local last = asked({ 1 }, opt.tokens)
local token_ms = {}
for i = 2, #last.chosen_ms do token_ms[i - 1] = last.chosen_ms[i] - last.chosen_ms[i - 1] end
print(json.encode { prompt_ms = prompt_ms, token_ms = token_ms, mallocs = last.mallocs / math.max(1, #last.tokens) })
io.stdout:flush() -- the first byte is timed
return evla.program { m.model }
