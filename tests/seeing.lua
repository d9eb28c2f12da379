-- seeing.lua: what openvla.t and mobilevlm.t ask of a model that sees: each stage from a picture to logits, as JSON.
local evla = require "evla"
local json = require "evla.json"
local opt = evla.options { questions = { type = "path", doc = "a JSON list" } }
local answers, some = {}, nil
local file <close> = assert(io.open(opt.questions))
for _, q in ipairs(json.decode(file:read "a")) do
  local ok, answer = pcall(function()
    local m = evla.see(q.model, q.options)
    some = some or m.model
    local picture = evla.picture(q.picture)
    local t <close> = evla.text { model = m.model, context = 256, others = { "image", "vision", q.ids and "action" or nil },
                                  symbols = { { "H", picture.shape[1] }, { "W", picture.shape[2] } } }
    local pixels = t:run("image", { picture = picture }).pixels
    local rows = t:run("vision", { pixels = pixels }).rows
    local before, after = m:prompt(q.text):match "^(.-)<image>(.*)$"
    local out = { rows = rows:list(), before = t:encode(before, { whole = true }), text = t:encode(after) }
    if q.ids then out.action = t:run("action", { ids = q.ids }).action:list() end
    local ids = table.move(out.before, 1, #out.before, 1, {})
    for _ = 1, #out.rows do ids[#ids + 1] = -1 end
    table.move(out.text, 1, #out.text, #ids + 1, ids)
    out.logits = t:logits(ids, { rows = rows }):list()
    return out
  end)
  answers[#answers + 1] = ok and answer or { error = tostring(answer) }
end
print(json.encode(answers))
return evla.program { some }
