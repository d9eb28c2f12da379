-- formats.lua: which number format each weight of a language model gets when the file is to be of one kind ("q4_k").
local formats = {}

-- What a matrix gets when its rows are no whole blocks of 256, and the head's format: as llama.cpp's quantiser decides.
local NARROW = { q4_k = "q5_0", q5_k = "q5_1", q6_k = "q8_0" }
local HEAD = { q4_0 = "q6_k", q4_1 = "q6_k", q5_0 = "q6_k", q5_1 = "q6_k", q4_k = "q6_k", q5_k = "q6_k" }

-- general.file_type of a GGUF file.
local FILE_TYPE = { f32 = 0, f16 = 1, q4_0 = 2, q4_1 = 3, q8_0 = 7, q5_0 = 8, q5_1 = 9, q4_k = 15, q5_k = 17, q6_k = 18, bf16 = 32 }

function formats.kinds()
  local out = {}
  for name in pairs(FILE_TYPE) do out[#out + 1] = name end
  table.sort(out)
  return out
end

function formats.file_type(kind) return FILE_TYPE[kind] end

-- A kind's name, or an error that says which there are.
function formats.want(kind, what)
  if FILE_TYPE[kind] then return kind end
  error(("%s: no type is called \"%s\"; want one of %s"):format(what, tostring(kind), table.concat(formats.kinds(), ", ")), 0)
end

-- format(name, extents) of a weight, and why it is another than asked for; nil: no matrix, which stays as it is. In f32 the windows of a
-- convolution, of four extents or more, are no exception.
-- whole: for files that have whole blocks only, what rows get that are none of 32: "f16" as llama.cpp has it. nil: they end inside one.
function formats.of(kind, tied, whole)
  local heads = { ["output.weight"] = true, ["lm_head.weight"] = true, ["token_embd.weight"] = tied, ["model.embed_tokens.weight"] = tied }
  return function(name, shape)
    if #shape ~= 2 then return kind == "f32" and #shape > 3 and kind or nil end
    local format, width, why = kind, shape[2], nil
    if heads[name] and HEAD[kind] then format, why = HEAD[kind], name .. " is the head" end
    if NARROW[format] and width % 256 ~= 0 then
      format, why = NARROW[format], ("%s has rows of %d, no multiple of 256"):format(name, width)
    end
    if whole and format:find "^q" and width % 32 ~= 0 then
      format, why = whole, ("%s has rows of %d, no multiple of 32"):format(name, width)
    end
    return format, why
  end
end

return formats
