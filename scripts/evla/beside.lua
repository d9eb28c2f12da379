-- beside.lua: a policy, or a model that answers, as the slow path of a rollout: all its graphs as one call beside the ticks.
-- schedule: the lines of one call; how: of all of them together, { latency = "400ms", chunk = "queue", pace = 30, workers = 2 }; moves:
-- there is a graph that makes actions of the body of its answers. See models/body.lua.
return function(schedule, how, moves)
  local lines = { { graph = "observe" } }
  for _, line in ipairs(schedule) do lines[#lines + 1] = { graph = line.graph, times = line.times, joined = true } end
  if moves then lines[#lines + 1] = { graph = "command", joined = true } end
  for k, v in pairs(how) do lines[1][k] = v end
  return lines
end
