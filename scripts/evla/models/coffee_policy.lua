-- coffee_policy.lua: what the robot of pipelines/coffee.lua does, from a sentence and noisy poses to joint speeds.
-- slow (30 Hz): words and the sensed poses of nine things to goal features; fast (100 Hz): the robot's own joints and the
-- latest goal features to an action. Neither sees a clock, a stage, a velocity or the simulator's truth.
--
-- Poses: rows of obs/sensed_pose are mug_red mug_blue pod_green pod_orange block jar machine lid marker, each x y z and a
-- quaternion w x y z. Two softmaxes made from the sentence choose which mug and which pod it speaks of. Differences
-- between the hand and the chosen things are computed exactly, in three frames and at two scales, since a layer that
-- learns would need long to find millimetres in metres.
local MACHINE, LID, MARKER, CHOSEN, TARGETS = 6, 7, 8, 2, 5 -- mugs are rows 0 and 1, pods 2 and 3

local function part(g, x, from, to) return g.slice { x, axis = -1, start = from, stop = to } end

-- Quaternions [...,4] to the entries r00 r01 .. r22 of rotation matrices.
local function turn(g, q)
  local w, x, y, z = part(g, q, 0, 1), part(g, q, 1, 2), part(g, q, 2, 3), part(g, q, 3, 4)
  local function two(a, b) return g.mul { g.mul { a, b }, 2 } end
  local xx, yy, zz = two(x, x), two(y, y), two(z, z)
  local xy, xz, yz, wx, wy, wz = two(x, y), two(x, z), two(y, z), two(w, x), two(w, y), two(w, z)
  local function one(a, b) return g.sub { 1, g.add { a, b } } end
  return g.concat { one(yy, zz), g.sub { xy, wz }, g.add { xz, wy }, g.add { xy, wz }, one(xx, zz), g.sub { yz, wx },
                    g.sub { xz, wy }, g.add { yz, wx }, one(xx, yy), axis = -1 }
end

-- A frame that only turns about the vertical, as f32[B,3,3] whose columns are its axes.
local function upright(g, cos, sin)
  local zero = g.mul { cos, 0 }
  local flat = g.concat { cos, g.neg(sin), zero, sin, cos, zero, zero, zero, g.add { zero, 1 }, axis = -1 }
  return g.reshape { flat, shape = { "B", 3, 3 } }
end

-- Metres at three scales: decimetres, and what is left of the last centimetres.
local function scales(g, x)
  return g.concat { g.mul { x, 6 }, g.tanh(g.mul { x, 15 }), g.tanh(g.mul { x, 50 }), axis = -1 }
end

local function flat(g, x, n) return g.reshape { x, shape = { "B", n } } end

local function layer(g, x, name, out) return g.linear { x, w = name .. ".w", b = name .. ".b", out = out } end

local function slow(g, p)
  local ids = g.word_ids { g:input("instruction", "u8[B,96]"), words = 16, vocabulary = p.vocabulary }
  local words = g.embedding { g:weight("words", ("f32[%d,%d]"):format(p.vocabulary, p.words), "normal:0.5"), ids }
  local said = g.silu(layer(g, g.mul { g.reduce_mean { words, axes = { 1 } }, 4 }, "said", 64))
  local intent = layer(g, said, "intent", p.goals) -- what the sentence wants, whatever its words
  local task = layer(g, g.softmax(g.mul { intent, 2 }), "task", p.task)
  local choice = g.softmax(g.reshape { g.mul { layer(g, said, "choose", 2 * CHOSEN), 4 }, shape = { "B", CHOSEN, 1, 2 } })
  local pose = g:input("obs/sensed_pose", "f32[B,9,7]")
  local place = part(g, pose, 0, 3)
  local function row(x, i) return g.slice { x, axis = 1, start = i, stop = i + 1 } end
  local machine = flat(g, turn(g, part(g, row(pose, MACHINE), 3, 7)), 9)
  local lid = flat(g, turn(g, part(g, row(pose, LID), 3, 7)), 9)
  local cos, sin = part(g, machine, 0, 1), part(g, machine, 3, 4)
  local lid_sin, lid_cos = g.neg(part(g, lid, 6, 7)), part(g, lid, 8, 9)
  local pairs = g.reshape { g.slice { place, axis = 1, start = 0, stop = 2 * CHOSEN }, shape = { "B", CHOSEN, 2, 3 } }
  local chosen = g.reshape { g.matmul { choice, pairs }, shape = { "B", CHOSEN, 3 } }
  local base, marker = row(place, MACHINE), row(place, MARKER)
  -- the knob of the lid, as the machine's drawing has it
  local knob = g.add { row(place, LID), g.reshape { g.add { g.mul { g.concat { part(g, lid, 0, 1), part(g, lid, 3, 4), part(g, lid, 6, 7), axis = -1 }, -0.088 },
    g.mul { g.concat { part(g, lid, 2, 3), part(g, lid, 5, 6), part(g, lid, 8, 9), axis = -1 }, 0.026 } }, shape = { "B", 1, 3 } } }
  -- what is chosen and the marker, seen from the machine; what is chosen first, seen from the marker
  local from_machine = g.matmul { g.sub { g.concat { chosen, marker, axis = 1 }, base }, upright(g, cos, sin) }
  local from_marker = g.sub { g.slice { chosen, axis = 1, start = 0, stop = 1 }, marker }
  local seen = scales(g, flat(g, g.concat { from_machine, from_marker, axis = 1 }, 3 * CHOSEN + 6))
  local x = g.concat { task, seen, lid_sin, lid_cos, axis = -1 }
  x = g.silu(layer(g, x, "slow.1", p.slow))
  x = g.silu(layer(g, x, "slow.2", p.slow))
  local targets = flat(g, g.concat { chosen, marker, base, knob, axis = 1 }, 3 * TARGETS)
  return g.concat { targets, cos, sin, lid_sin, lid_cos, task, seen, layer(g, x, "slow.3", p.context), axis = -1 }, intent
end

-- Everything that follows is the same when the robot and the table turn together about the robot's first axis.
local function fast(g, p, goal)
  local n = 3 * TARGETS
  local joints = g:input("obs/joint_pos", "f32[B,7]")
  local mean = g:weight("obs/joint_pos.mean", "f32[7]", "mean:obs/joint_pos")
  local spread = g:weight("obs/joint_pos.std", "f32[7]", "std:obs/joint_pos")
  local bent = part(g, g.div { g.sub { joints, mean }, spread }, 1, 0)
  local first = part(g, joints, 0, 1)
  local column = upright(g, g.cos(first), g.sin(first)) -- the frame of the first link
  local cos, sin = part(g, goal, n, n + 1), part(g, goal, n + 1, n + 2)
  local machine = upright(g, cos, sin)
  local hand = g.reshape { turn(g, g:input("obs/eef_quat", "f32[B,4]")), shape = { "B", 3, 3 } }
  local place = g.reshape { g:input("obs/eef_pos", "f32[B,3]"), shape = { "B", 1, 3 } }
  local targets = g.reshape { part(g, goal, 0, n), shape = { "B", TARGETS, 3 } }
  local off = g.sub { targets, place }
  local far = g.sqrt(g.add { g.reduce_sum { g.square(off), axes = { 2 }, keepdims = true }, 1e-8 })
  local seen = g.matmul { off, g.concat { column, hand, machine, axis = -1 } } -- in three frames
  local way = flat(g, g.div { seen, g.add { far, 0.005 } }, 9 * TARGETS)
  local around = g.matmul { g.slice { targets, axis = 1, start = 0, stop = CHOSEN + 1 }, column }
  local level = part(g, around, 0, 2)
  local bearing = g.div { level, g.sqrt(g.add { g.reduce_sum { g.square(level), axes = { 2 }, keepdims = true }, 1e-6 }) }
  local axes = g.concat { g.matmul { column, hand, transpose_a = true }, g.matmul { machine, hand, transpose_a = true },
                          g.matmul { column, machine, transpose_a = true }, axis = -1 }
  local width = g.reduce_sum { g:input("obs/gripper_pos", "f32[B,2]"), axes = { 1 }, keepdims = true }
  local function near(m) return g.tanh(g.mul { g.sub { width, m }, 250 }) end
  local force = g:input("obs/gripper_force", "f32[B,1]")
  local x = g.concat { bent, flat(g, g.mul { g.matmul { place, column }, 4 }, 3), flat(g, axes, 27), flat(g, bearing, 2 * CHOSEN + 2),
                       g.mul { width, 30 }, near(0.0735), near(0.0626), near(0.04), near(0.022), g.mul { force, 0.06 }, g.tanh(force),
                       part(g, goal, n + 2, 0), way, scales(g, flat(g, seen, 9 * TARGETS)), axis = -1 }
  x = g.silu(g.layer_norm { layer(g, x, "fast.1", p.width), w = "fast.1.norm.w", b = "fast.1.norm.b" })
  for i = 2, p.layers do x = g.add { x, g.silu(layer(g, x, "fast." .. i, p.width)) } end
  return layer(g, x, "head", 8)
end

return {
  options = {
    vocabulary = { type = "int", default = 1024, min = 2, doc = "rows of the table of words" },
    words = { type = "int", default = 32, min = 1, doc = "features of a word" },
    goals = { type = "int", default = 12, min = 1, doc = "goals that sentences may have" },
    task = { type = "int", default = 16, min = 1, doc = "features of a sentence" },
    slow = { type = "int", default = 128, min = 1, doc = "features of a hidden layer of the slow path" },
    context = { type = "int", default = 32, min = 1, doc = "learned features that the slow path hands on" },
    width = { type = "int", default = 256, min = 1, doc = "features of a hidden layer of the fast path" },
    layers = { type = "int", default = 3, min = 1, doc = "hidden layers of the fast path" },
  },
  graphs = function(p)
    local goal = 3 * TARGETS + 4 + p.task + 3 * (3 * CHOSEN + 6) + p.context
    return {
      slow = function(g) g:output("goal_features", (slow(g, p))) end,
      fast = function(g)
        local action = fast(g, p, g:input("goal_features", ("f32[B,%d]"):format(goal)))
        -- the teacher opens or closes; half closed is neither, so the gripper's entry is made to choose
        action = g.concat { part(g, action, 0, 7), g.mul { part(g, action, 7, 8), 6 }, axis = -1 }
        g:output("action", g.clamp { action, min = -1, max = 1 })
      end,
      loss = function(g)
        local features, intent = slow(g, p)
        local action, teacher = fast(g, p, features), g:input("expert_actions", "f32[B,8]")
        local joints = g.mul { g.sub { part(g, action, 0, 7), part(g, teacher, 0, 7) }, 8 } -- the teacher's speeds have a spread of about 1/8
        local speed = g.huber_loss { joints, g.mul { joints, 0 }, delta = 0.5 }
        local grip = g.mse_loss { g.tanh(part(g, action, 7, 8)), part(g, teacher, 7, 8) }
        -- a demonstration knows its goal; the policy has to hear it (cross entropy)
        local goal = g:input("obs/goal", ("f32[B,%d]"):format(p.goals))
        local heard = g.neg(g.reduce_mean(g.reduce_sum { g.mul { goal, g.log_softmax(intent) }, axes = { 1 } }))
        g:output("loss", g.add { g.add { speed, g.mul { grip, 0.3 } }, g.mul { heard, 0.1 } })
      end,
    }
  end,
}
