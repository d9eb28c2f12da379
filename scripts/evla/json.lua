-- json.lua: JSON (RFC 8259) to Lua and back. Objects are written with their names sorted, so the same table gives the
-- same text. An empty table is written as {} unless it is json.array {}.
local json = {}
local is_array = setmetatable({}, { __mode = "k" })

function json.array(t) is_array[t] = true return t end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local function quote(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function number(v, exact)
  if v ~= v or v == math.huge or v == -math.huge then return "null" end -- JSON has neither infinities nor NaN
  local s = ("%.10g"):format(v)
  return exact and tonumber(s) ~= v and ("%.17g"):format(v) or s
end

local function encode(v, indent, out, exact)
  local t = type(v)
  if t == "string" then out[#out + 1] = quote(v)
  elseif t == "boolean" or v == nil then out[#out + 1] = tostring(v == nil and "null" or v)
  elseif math.type(v) == "integer" then out[#out + 1] = tostring(v)
  elseif t == "number" then out[#out + 1] = number(v, exact)
  elseif t == "table" then
    local inner = indent and indent .. "  "
    local gap = indent and "\n" .. inner or ""
    local list = #v > 0 or is_array[v]
    local names = {}
    if not list then
      for k in pairs(v) do names[#names + 1] = tostring(k) end
      table.sort(names)
    end
    if (list and #v == 0) or (not list and #names == 0) then
      out[#out + 1] = list and "[]" or "{}"
      return
    end
    out[#out + 1] = list and "[" or "{"
    for i, name in ipairs(list and v or names) do
      out[#out + 1] = (i > 1 and "," or "") .. gap
      if list then encode(v[i], inner, out, exact)
      else
        out[#out + 1] = quote(name) .. (indent and ": " or ":")
        encode(v[name] == nil and v[tonumber(name)] or v[name], inner, out, exact)
      end
    end
    out[#out + 1] = (indent and "\n" .. indent or "") .. (list and "]" or "}")
  else error("json: a " .. t .. " cannot be written", 0) end
end

-- pretty: true for one name a line; exact: numbers read back as they are, else they have ten digits.
function json.encode(v, pretty, exact)
  local out = {}
  encode(v, pretty and "" or nil, out, exact)
  return table.concat(out)
end

local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

-- null becomes nil; a mistake is an error that says where.
function json.decode(s)
  local at, depth = 1, 0
  local value
  local function fail(what) error(("json: %s at byte %d"):format(what, at), 0) end
  local function skip() at = s:find("[^ \t\r\n]", at) or #s + 1 end
  local function text()
    local out, from = {}, at + 1
    while true do
      local stop = s:find('["\\%c]', from)
      if not stop then fail("a text without end") end
      out[#out + 1] = s:sub(from, stop - 1)
      local c = s:sub(stop, stop)
      if c == '"' then at = stop + 1 return table.concat(out) end
      if c ~= "\\" then at = stop fail("a control character") end
      local e = s:sub(stop + 1, stop + 1)
      if unescapes[e] then out[#out + 1], from = unescapes[e], stop + 2
      else
        local hex = s:match("^u(%x%x%x%x)", stop + 1)
        if not hex then at = stop fail("a bad escape") end
        local code = tonumber(hex, 16)
        from = stop + 6
        if code >= 0xd800 and code < 0xdc00 then
          local low = tonumber(s:match("^\\u(%x%x%x%x)", from) or "0", 16)
          if low < 0xdc00 or low > 0xdfff then at = stop fail("half a surrogate pair") end
          code, from = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), from + 6
        end
        out[#out + 1] = utf8.char(code)
      end
    end
  end
  function value()
    depth = depth + 1
    if depth > 200 then fail("nesting too deep") end
    skip()
    local c, v = s:sub(at, at), nil
    if c == '"' then v = text()
    elseif c == "{" then
      v, at = {}, at + 1
      skip()
      if s:sub(at, at) == "}" then at = at + 1
      else
        repeat
          skip()
          if s:sub(at, at) ~= '"' then fail("want a name") end
          local name = text()
          skip()
          if s:sub(at, at) ~= ":" then fail("want a colon") end
          at = at + 1
          v[name] = value()
          skip()
          local d = s:sub(at, at)
          if d ~= "," and d ~= "}" then fail("want , or }") end
          at = at + 1
        until d == "}"
      end
    elseif c == "[" then
      v, at = json.array {}, at + 1
      skip()
      if s:sub(at, at) == "]" then at = at + 1
      else
        local n = 0
        repeat
          n = n + 1
          v[n] = value()
          skip()
          local d = s:sub(at, at)
          if d ~= "," and d ~= "]" then fail("want , or ]") end
          at = at + 1
        until d == "]"
      end
    elseif s:find("^true", at) then v, at = true, at + 4
    elseif s:find("^false", at) then v, at = false, at + 5
    elseif s:find("^null", at) then at = at + 4
    else
      local number = s:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
      v = number and tonumber(number)
      if not v then fail("want a value") end
      at = at + #number
    end
    depth = depth - 1
    return v
  end
  local v = value()
  skip()
  if at <= #s then fail("something behind the value") end
  return v
end

-- The object in a file; throws what is wrong with it. A file that may be missing gives nil.
function json.read(path, may_be_missing)
  local ok, file, why = pcall(io.open, path)
  if not ok or not file then
    if may_be_missing then return nil end
    error(ok and why or file, 0)
  end
  local text = file:read "a"
  file:close()
  local good, value = pcall(json.decode, text)
  if not good or type(value) ~= "table" then error(("%s: is no JSON object"):format(path), 0) end
  return value
end

return json
