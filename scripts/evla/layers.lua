-- layers.lua: how many layers a file holds, by the names of its tensors.

-- names: of one weight in every layer, "blk.%d.attn_%s.weight", and what else it takes. A layer that has others, and not this one, is
-- not behind the last: its weight is missing.
return function(path, file, names, ...)
  local n = 0
  while file[names:format(n, ...)] do n = n + 1 end
  local other = ("%s%d."):format(names:match "^(.-)%%d", n)
  for _, name in ipairs(file.names) do
    if name:sub(1, #other) == other then error(("%s: it holds no weight %s"):format(path, names:format(n, ...)), 0) end
  end
  return n
end
