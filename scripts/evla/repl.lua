-- repl.lua: the prompt's language: what a chunk means, how values are shown, help, completion. repl.c reads the lines.
local setup = ...
local evla = require "evla"
local pretty = require "evla.pretty"
local near, describe = require("evla.core").near, require("evla.core").describe
local print, load, tostring, type, rawget, error, concat = print, load, tostring, type, rawget, error, table.concat
local repl = {}
local show = pretty.new { name_of = setup.name_of, width = setup.width, colour = setup.has_colour }
local line_number = 0

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%a+") do keywords[#keywords + 1] = word end

-- ---- tokens: enough of Lua's lexer to see blocks and braces ----

-- Returns a list of { kind = "name"|"string"|"open"|"other", text, at }; open: a string or comment without end.
local function tokens(s)
  local out, at = {}, 1
  local function add(kind, to) out[#out + 1] = { kind = kind, text = s:sub(at, to), at = at } at = to + 1 end
  while true do
    at = s:find("%S", at)
    if not at then return out end
    local c = s:sub(at, at)
    local level = s:match("^%[(=*)%[", at) or s:match("^%-%-%[(=*)%[", at)
    if level then
      local _, stop = s:find("]" .. level .. "]", at, true)
      if not stop then add("open", #s) return out end
      if c == "[" then add("string", stop) else at = stop + 1 end
    elseif s:find("^%-%-", at) then
      local stop = s:find("\n", at, true)
      if not stop then add("open", #s) return out end
      at = stop
    elseif c == '"' or c == "'" then
      local stop = at + 1
      while true do
        stop = s:find("[\\" .. c .. "\n]", stop)
        if not stop or s:sub(stop, stop) == "\n" then add("open", #s) return out end
        if s:sub(stop, stop) == c then break end
        stop = stop + 2
      end
      add("string", stop)
    else
      local _, stop = s:find("^[%a_][%w_]*", at)
      if stop then add("name", stop)
      else
        _, stop = s:find("^%d[%w%.]*", at)
        add("other", stop or at)
      end
    end
  end
end

-- What is declared at the prompt stays: `local x = 1` outside every block becomes `x = 1`, since each chunk would
-- otherwise end the life of its locals. Positions stay the same.
local function keep_locals(text)
  local list, depth, pending, cuts = tokens(text), 0, 0, {}
  for i, t in ipairs(list) do
    local w = t.kind == "name" and t.text or t.text
    if w == "function" or w == "if" or w == "repeat" then depth = depth + 1
    elseif w == "for" or w == "while" then depth, pending = depth + 1, pending + 1
    elseif w == "do" then
      if pending > 0 then pending = pending - 1 else depth = depth + 1 end
    elseif w == "end" or w == "until" then depth = depth - 1
    elseif w == "{" or w == "(" then depth = depth + 1
    elseif w == "}" or w == ")" then depth = depth - 1
    elseif w == "local" and t.kind == "name" and depth == 0 then
      local k = i + 1
      while list[k] and list[k].kind == "name" and list[k + 1] and list[k + 1].text == "," do k = k + 2 end
      local after = list[k + 1]
      if list[i + 1] and (list[i + 1].text == "function" or after and after.text == "=") then cuts[#cuts + 1] = t.at end
    end
  end
  for _, at in ipairs(cuts) do text = text:sub(1, at - 1) .. "     " .. text:sub(at + 5) end
  return text
end

-- ---- chunks ----

local function prepare(text, is_last)
  local name, before = "=repl", ""
  if not setup.is_terminal then name, before = "=stdin", ("\n"):rep(line_number) end
  local f, why = load(before .. "return " .. text, name)
  if not f then f, why = load(before .. keep_locals(text), name) end
  if not f then f, why = load(before .. text, name) end
  if not f and not is_last and why:sub(-5) == "<eof>" then return true end
  line_number = line_number + select(2, text:gsub("\n", ""))
  if not text:find("%S") then return nil end
  return f or error(why, 0)
end

function repl.prepare(text) return prepare(text, false) end -- function; true: more lines are wanted; nil: nothing to do
function repl.prepare_last(text) return prepare(text, true) end

function repl.show(...)
  local out = {}
  for i = 1, select("#", ...) do out[i] = show((select(i, ...))) end
  print(concat(out, "\n"))
end

function repl.banner()
  print(("evla %s, %d plugins: help() explains, Tab completes, Ctrl-D leaves"):format(evla.version, setup.n_plugins))
end

-- A program's jobs become globals under their names.
function repl.open()
  local jobs, names = dofile(setup.path), {}
  if setup.name_of(jobs) == "evla.job" then jobs = { jobs } end
  for _, j in pairs(type(jobs) == "table" and jobs or {}) do
    if setup.name_of(j) == "evla.job" then
      rawset(_G, j.name, j)
      names[#names + 1] = j.name
    end
  end
  table.sort(names)
  if setup.is_terminal then print(("%s: %s"):format(setup.shown, #names > 0 and concat(names, ", ") or "no jobs")) end
end

-- ---- globals ----

local function names_of(t)
  local out = {}
  for k in next, t do if type(k) == "string" then out[#out + 1] = k end end
  table.sort(out)
  return out
end

setmetatable(_G, { __index = function(t, name)
  local close = near(tostring(name), names_of(t))
  error(("nothing is called \"%s\"%s"):format(tostring(name), close and ("; did you mean \"%s\"?"):format(close) or ""), 2)
end })

-- ---- help ----

local own_help = {
  pipeline = "evla.pipeline \"name\" { source, filter..., sink }: records flow from the first stage to the last",
  program = "evla.program { job, ... }: what a script returns",
  options = "evla.options { name = { type = \"int\", default = 3, doc = \"...\" } }: what a program's user may choose",
  records = "evla.records \"demos.hdf5\" or of a job: #set, set:record(1), record[\"actions\"]",
  describe = "evla.describe(thing): what it is, its parameters and help, as a table",
  near = "evla.near(name, list): the entry that was probably meant",
  drive = "r = evla.drive { body = ..., model = a job or \"policy.evla\", schedule = ..., guard = ... }: a loop in the hand, on a virtual clock\n"
    .. "r:reset(seed, sentence)  r:step(n)  r:observe(channel)  r:why()  r:scene()  r:close()",
  report = "evla.report {}: at a program's end, pictures of what came out",
}

local function help(...)
  if select("#", ...) == 0 then
    return print([[
evla.stage, evla.op, evla.body, ...  kinds; a name alone lists its items
help(evla.stage.hdf5)                parameters of an item, a kind of job, a choice or a job
demos = evla.pipeline "demos" { evla.stage.hdf5 { path = "in.hdf5" }, evla.stage.sanity {} }
demos:check()  demos:run()           a job is checked, run, skipped when nothing changed
evla.records "demos.hdf5"            look into a dataset: set:record(1)["actions"]
r = evla.drive { body = ... }        a loop in the hand: r:step(10)  r:observe("obs/...")  r:why()
x                                    an expression shows its value; names stay, even after `local`
exit, Ctrl-D                         leave; Ctrl-C interrupts a line]])
  end
  local thing = ...
  if type(thing) == "string" then
    local v = evla
    for part in thing:gsub("^evla%.", ""):gmatch("[^%.]+") do v = (type(v) == "table" or type(v) == "userdata") and v[part] or nil end
    if v == nil then error(("help: nothing is called \"%s\""):format(thing), 2) end
    thing = v
  end
  local d = describe(thing)
  if d then return print((d.help:gsub("\n+$", ""))) end
  if setup.name_of(thing) == "evla.kind" then return print(show(thing)) end
  for name, text in pairs(own_help) do
    if rawget(evla, name) == thing then return print(text) end
  end
  if setup.name_of(thing) == "evla.drive" then return print(own_help.drive) end
  if thing == evla then return print("evla: " .. concat(names_of(evla), ", ")) end
  print("no help for a " .. (setup.name_of(thing) or type(thing)) .. "; its value:\n" .. show(thing))
end

-- ---- completion ----

-- The value of a.b.c without running anything of the user's; nil when there is none.
local function walk(path)
  local v = _G
  for part in path:gmatch("[^%.:]+") do
    if type(v) == "table" then v = rawget(v, part)
    elseif setup.name_of(v) == "evla.choice" or setup.name_of(v) == "evla.record" then v = v[part]
    else return nil end
    if v == nil then return nil end
  end
  return v
end

local fields = {
  ["evla.job"] = { "name", "type", "where", "folder", "key", "result", "result_type", "state", "seconds", "figures", "given", "needs" },
  ["evla.choice"] = { "item", "kind", "where", "params" },
  ["evla.tensor"] = { "shape", "dtype", "rank" },
  ["evla.record"] = { "attrs", "names", "index" },
  ["evla.set"] = { "fields", "attrs" },
}
local methods = { ["evla.tensor"] = { "stats", "list" }, ["evla.set"] = { "record" } }

-- Names behind v. or v:, each with what is likely to follow.
local function members(v, mark)
  local out, name = {}, setup.name_of(v)
  local function add(list, tail) for _, n in ipairs(list or {}) do out[#out + 1] = { text = n, tail = tail } end end
  if type(v) == "string" then add(names_of(string), "(")
  elseif mark == ":" and name == "evla.job" then add(names_of(require("evla.core").job_methods), "(")
  elseif mark == ":" and methods[name] then add(methods[name], "(")
  elseif mark == "." and fields[name] then add(fields[name], "")
  elseif type(v) == "table" then
    for k, e in next, v do
      local is_function = type(e) == "function"
      if type(k) == "string" and k:find("^[%a_][%w_]*$") and (mark == "." or is_function) then
        local kind = setup.name_of(e)
        out[#out + 1] = { text = k, tail = is_function and "(" or kind == "evla.kind" and "." or kind == "evla.item" and " { " or kind == "evla.jobtype" and " \"" or "" }
      end
    end
  end
  return out
end

-- What an open brace belongs to: its callee's parameters, or the fields of the parameter it is given to.
local function params_at(list)
  local open = {}
  for i, t in ipairs(list) do
    if t.text == "{" then
      local k, frame = i - 1, {}
      if list[k] and list[k].text == "(" then k = k - 1 end
      if list[k] and list[k].text == "=" and list[k - 1] then frame.key = list[k - 1].text
      else
        if list[k] and list[k].kind == "string" then k = k - 1 end
        local path = {}
        while list[k] and list[k].kind == "name" do
          table.insert(path, 1, list[k].text)
          if not (list[k - 1] and (list[k - 1].text == "." or list[k - 1].text == ":")) then break end
          k = k - 2
        end
        if #path > 0 then frame.callee = concat(path, ".") end
      end
      open[#open + 1] = frame
    elseif t.text == "}" then open[#open] = nil end
  end
  local params
  for _, frame in ipairs(open) do
    if frame.callee then
      local d = describe(walk(frame.callee))
      params = d and d.params
    elseif frame.key and params then
      local inner
      for _, p in ipairs(params) do if p.name == frame.key then inner = p.fields or {} end end
      params = inner
    end
  end
  return params
end

local function find_param(params, name)
  for _, p in ipairs(params or {}) do if p.name == name then return p end end
end

-- prefix that is being typed, and candidates { text, tail, note }
local function candidates(text)
  local list = tokens(text)
  local last = list[#list]
  local out = {}
  if last and last.kind == "open" then -- inside a text: the words of an enum
    local key = list[#list - 2]
    list[#list] = nil
    if not (list[#list] and list[#list].text == "=" and key) then return "", out end
    local p = find_param(params_at(list), key.text)
    local q = last.text:sub(1, 1)
    for word in (p and p.choices or ""):gmatch("[^|]+") do out[#out + 1] = { text = word, tail = q } end
    return last.text:sub(2), out
  end
  local prefix = text:match("[%a_][%w_]*$") or ""
  if prefix ~= "" then list[#list] = nil end
  local before = list[#list]
  local mark = before and (before.text == "." or before.text == ":") and before.text
  if mark then
    local path = text:sub(1, #text - #prefix):match("([%a_][%w_%.]*)%s*[%.:]%s*$")
    if path then return prefix, members(walk(path), mark) end
    if list[#list - 1] and list[#list - 1].kind == "string" then return prefix, members("", mark) end
    return prefix, out
  end
  local params = params_at(list)
  if params and before and (before.text == "{" or before.text == "," or before.text == ";") then
    for _, p in ipairs(params) do
      if p.name:sub(1, #prefix) == prefix then out[#out + 1] = { text = p.name, tail = " = ", note = p } end
    end
    if #out > 0 or prefix == "" then return prefix, out end
  elseif params and before and before.text == "=" and list[#list - 1] then
    local p = find_param(params, list[#list - 1].text)
    if p and p.choices and prefix == "" then
      for word in p.choices:gmatch("[^|]+") do out[#out + 1] = { text = '"' .. word .. '"', tail = "" } end
      return prefix, out
    elseif p and p.kind and prefix == "" and type(rawget(evla, p.kind)) == "table" then
      for _, name in ipairs(names_of(evla[p.kind])) do out[#out + 1] = { text = ("evla.%s.%s"):format(p.kind, name), tail = " { " } end
      return prefix, out
    end
  end
  if prefix == "" then return prefix, out end
  for _, m in ipairs(members(_G, ".")) do out[#out + 1] = m end
  for _, word in ipairs(keywords) do out[#out + 1] = { text = word, tail = " " } end
  return prefix, out
end

local function listing(found)
  local rows, line, lines = {}, "", {}
  if found[1].note then
    for i, c in ipairs(found) do
      rows[i] = { c.text, c.note.type .. (c.note.required and ", required" or ""), c.note.doc }
    end
    for i, row in ipairs(pretty.columns(rows, "  ")) do lines[i] = row:sub(1, setup.width - 1) end
    return concat(lines, "\n") .. "\n"
  end
  local widest = 0
  for _, c in ipairs(found) do widest = math.max(widest, #c.text + 2) end
  local per_line = math.max(1, (setup.width - 1) // widest)
  for i, c in ipairs(found) do
    line = line .. c.text .. (" "):rep(widest - #c.text)
    if i % per_line == 0 or i == #found then lines[#lines + 1], line = line:gsub("%s+$", ""), "" end
  end
  return concat(lines, "\n") .. "\n"
end

-- The text up to the cursor -> what to insert, and a list to show when nothing can be inserted.
function repl.complete(text)
  local prefix, all = candidates(text)
  local found, seen = {}, {}
  for _, c in ipairs(all) do
    if c.text:sub(1, #prefix) == prefix and not seen[c.text] then
      seen[c.text] = true
      found[#found + 1] = c
    end
  end
  if #found == 0 then return nil end
  if not found[1].note then table.sort(found, function(a, b) return a.text < b.text end) end
  local common = found[1].text
  for _, c in ipairs(found) do
    while c.text:sub(1, #common) ~= common do common = common:sub(1, -2) end
  end
  if #found == 1 then return common:sub(#prefix + 1) .. found[1].tail end
  return common:sub(#prefix + 1), listing(found)
end

rawset(_G, "evla", evla)
rawset(_G, "help", setmetatable({}, { __call = function(_, ...) return help(...) end,
  __tostring = function() return "help() explains the prompt, help(thing) a thing" end }))
return repl
