-- quantise.lua: a policy with its weights in codes, kept as far as its actions stay what they were.
--   evla run pipelines/quantise.lua --model smolvla.gguf --quant int8 --case FOLDER --worse_by 2%
-- Cases are inputs that are known: folders as pipelines/smolvla.lua takes them, a JSON file as pipelines/mini_vla.lua does; of models that
-- see (OpenVLA, MobileVLM) folders with picture.png and instruction.txt, or JSON files that list such, see scripts/evla/asking.lua. Without
-- any they are drawn by lot, which says something about arithmetic and nothing about a robot. out/quantise/small has the new model and its
-- scorecard; out/quantise/report.html shows it. The new model is a bundle: evla.policy and the pipelines open it alone.
local asking = require "evla.asking"
local bundle = require "evla.bundle"
local evla = require "evla"
local seeing = require "evla.seeing"
local opt = evla.options {
  model = { type = "path", beside = true, doc = "what evla.policy reads, or a folder or a GGUF file that evla.see does" },
  quant = { type = "string", default = "int8", doc = "int8: weights and activations in eight bits; or a number format of weights: bf16, q8_0, q4_0, ..." },
  case = { type = "list", of = "path", beside = true, optional = true, doc = "inputs of calls" },
  drawn = { type = "int", default = 4, min = 1, max = 1000000, doc = "how many cases are drawn when none is given" },
  cameras = { type = "int", optional = true, min = 1, max = 64, doc = "how many it sees through, where neither the cases nor its file say" },
  output = { type = "string", optional = true, doc = "the output that counts: the action, or the logits of a model that only answers" },
  mmproj = { type = "path", optional = true, doc = "the GGUF file with the tower, beside a GGUF model" },
  unnorm_key = { type = "string", optional = true, doc = "OpenVLA: the data set whose statistics give actions their units" },
  metric = { type = "enum", default = "output_error", choices = { "output_error", "max_error", "rms_error" }, doc = "its distance from f32's: as a share, or in its own unit" },
  worse_by = { type = "string", default = "5%", doc = "how much may be lost: a share of f32's, or an amount" },
  attention = { type = "enum", optional = true, choices = { "plain", "bf16" }, doc = "what attention's products are rounded to, in f32's model and in the new one; plain" },
  keep = { type = "list", of = "string", optional = true, doc = "patterns of weights that stay in f32" },
  runs = { type = "int", default = 10, min = 1, max = 1000000, doc = "calls that are timed at most" },
  license = { type = "string", optional = true, doc = "of the model, where its file does not say" },
  tokenizer = { type = "path", optional = true, doc = "a tokenizer.json, where the model has none and none lies beside it" },
  budget = { type = "size", default = "0", doc = "what a call of the new model may take; 0: no limit" },
}
local sees = seeing.is(opt.model, opt)
local asked = sees and opt.case and asking.read(opt.case)
local policy
if sees then
  policy = evla.see(opt.model, { type = "f32", answer = 7, mmproj = opt.mmproj, unnorm_key = opt.unnorm_key, attention = opt.attention,
                                 size = asked and asking.size(asked), cameras = asked and #asked[1].pictures > 1 and #asked[1].pictures or nil })
  policy.cases = asked and asking.cases(policy, asked)
  policy.own.kv, policy.own.cameras = "bf16", policy.cameras > 1 and policy.cameras or nil -- what its graphs keep, beside what its file says
  if not policy.own.low then policy.own.height, policy.own.picture_width = table.unpack(policy.size) end
else
  policy = evla.policy(opt.model, { type = "f32", cases = opt.case, cameras = opt.cameras, attention = opt.attention })
end
local rules = {}
for i, pattern in ipairs(opt.keep or {}) do rules[i] = { pattern, keep = "f32" } end
for _, name in ipairs(policy.exact) do rules[#rules + 1] = { name, keep = "f32" } end
rules[#rules + 1] = { "*", opt.quant == "int8" and evla.quant.int8 {} or evla.quant.round { format = opt.quant, otherwise = "bf16" } }
local about, texts = bundle.of(policy, sees and not opt.mmproj and opt.model or opt.model:match "^(.*)/", opt, "kept")
for name, text in pairs(texts) do
  if name:find "^tokenizer%.ggml" then error(("%s: a recipe keeps a tokenizer.json, or words with their ids; evla pack takes a GGUF file's"):format(opt.tokenizer), 0) end
  texts[name] = text[1]
end
local lacks = bundle.refusal("small.evla", policy.items)
if lacks then print(lacks .. "; without it evla.policy does not open it") end
local small = evla.recipe "small" (policy:call {
  rules = rules, cases = policy.cases, drawn = opt.drawn, runs = opt.runs, memory = opt.budget, about = about, texts = texts,
  accept = { output = opt.output or policy.output or "action", metric = opt.metric, worse_by = opt.worse_by },
})
return evla.program { small, evla.report {} }
