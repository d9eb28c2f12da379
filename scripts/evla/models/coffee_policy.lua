-- coffee_policy.lua: what the robot of pipelines/coffee.lua does, from a sentence and noisy poses to joint speeds.
-- slow (30 Hz): words and the sensed poses of nine things to goal features; fast (100 Hz): the robot's own joints and the
-- latest goal features to an action. Neither sees a clock, a stage, a velocity or the simulator's truth.
--
-- Poses: rows of obs/sensed_pose are mug_red mug_blue pod_green pod_orange block jar machine lid marker, each x y z and a
-- quaternion w x y z. Two softmaxes made from the goal that was heard choose which mug and which pod it speaks of. Differences
-- between the hand, the chosen things and the places they belong to are computed exactly, in three frames and at three
-- scales, since a layer that learns would need long to find millimetres in metres. What is learned is how the hand should
-- move, in the machine's frame; the arm's kinematics turn that into joint speeds.
local MACHINE, LID, MARKER, CHOSEN = 6, 7, 8, 2 -- rows; mugs are rows 0 and 1, pods 2 and 3
local TARGETS, WAYS = 5, 3 -- where a hand may have to be; where a thing may have to go
-- From the drawings of the things, in metres.
local MUG_GRIP, POD_GRIP = 0.056, 0.0335 -- above the bottom
local PLACE, HOLDER = { -0.083, 0, 0.018 }, { -0.036, 0, 0.190 } -- of a mug and a pod in the machine
local BEHIND, MOUTH = { 0.099, 0.047, 0.2965 }, { -0.155, 0, 0.08 } -- the open lid; in front of the place
local KNOB_ALONG, KNOB_ABOVE = -0.088, 0.026 -- in the lid's frame

local function part(g, x, from, to) return g.slice { x, axis = -1, start = from, stop = to } end
local RAD_S, MOST = 2.5, 0.68 -- rad/s of a joint whose entry is 1; the fastest joint's entry
local SLACK = 0.0006 -- m

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

-- f32[B,n,3] times the transpose of `frame`: out of it. A matmul alone goes into it.
local function out_of(g, frame, x) return g.matmul { x, frame, transpose_b = true } end

-- A point of a drawing.
local function drawn(g, p) return g:const("f32[1,1,3]", { { p } }) end

-- How long vectors f32[B,n,3] are, f32[B,n,1]; over the ground.
local function length(g, x) return g.sqrt(g.add { g.reduce_sum { g.square(x), axes = { 2 }, keepdims = true }, 1e-8 }) end
local function level(g, x) return length(g, part(g, x, 0, 2)) end

-- Metres at three scales: decimetres, and what is left of the last centimetres.
local function scales(g, x)
  return g.concat { g.tanh(g.mul { x, 3 }), g.tanh(g.mul { x, 15 }), g.tanh(g.mul { x, 50 }), axis = -1 }
end

local function flat(g, x, n) return g.reshape { x, shape = { "B", n } } end

local function layer(g, x, name, out) return g.linear { x, w = name .. ".w", b = name .. ".b", out = out } end

-- ---- the arm: a Franka Panda with its hand -------------------------------------------------------------------------

local BASE, FLANGE, TCP = 0.10, 0.107, 0.1034 -- m: shoulder column, last frame to flange, flange to between the finger tips
-- One row a joint: where its frame lies in the one before (m), and the quarter turns about x (modified Denavit-Hartenberg).
local FRAMES = {
  { 0, 0, 0.333, 0 }, { 0, 0, 0, -1 }, { 0, -0.316, 0, 1 }, { 0.0825, 0, 0, 1 }, { -0.0825, 0.384, 0, -1 }, { 0, 0, 0, 1 }, { 0.088, 0, 0, 1 },
}

-- x plus vectors times numbers, without the terms that are zero.
local function along(g, x, axes, far)
  for i = 1, 3 do
    if far[i] ~= 0 then x = g.add { x, g.mul { axes[i], far[i] } } end
  end
  return x
end

-- The transposed Jacobian f32[B,7,6] of the tool centre point in the base's frame: linear, then angular.
local function jacobian(g, joints)
  local cos, sin = g.cos(joints), g.sin(joints)
  local zero = g.mul { part(g, joints, 0, 1), 0 }
  local one = g.add { zero, 1 }
  local function vector(x, y, z) return g.concat { x, y, z, axis = -1 } end
  local x, y, z = vector(one, zero, zero), vector(zero, one, zero), vector(zero, zero, one)
  local at = g.mul { z, BASE }
  local axes, origins = {}, {}
  for i, f in ipairs(FRAMES) do
    at = along(g, at, { x, y, z }, f)
    if f[4] > 0 then
      y, z = z, g.neg(y)
    elseif f[4] < 0 then
      y, z = g.neg(z), y
    end
    axes[i], origins[i] = z, at
    local c, s = part(g, cos, i - 1, i), part(g, sin, i - 1, i)
    x, y = g.add { g.mul { x, c }, g.mul { y, s } }, g.sub { g.mul { y, c }, g.mul { x, s } }
  end
  local tip = g.add { at, g.mul { z, FLANGE + TCP } }
  axes.axis, origins.axis = -1, -1
  local shape = { "B", 7, 3 }
  local axis = g.reshape { g.concat(axes), shape = shape }
  local lever = g.sub { g.reshape { tip, shape = { "B", 1, 3 } }, g.reshape { g.concat(origins), shape = shape } }
  local function roll(v, n) return g.concat { part(g, v, n, 3), part(g, v, 0, n), axis = -1 } end
  local linear = g.sub { g.mul { roll(axis, 1), roll(lever, 2) }, g.mul { roll(axis, 2), roll(lever, 1) } }
  return g.concat { linear, axis, axis = -1 }
end

-- The joint speeds f32[B,7] (rad/s) that move the tool centre point by a twist f32[B,6] (m/s, rad/s) at joints f32[B,7]
-- (rad) with a Jacobian `back`, by damped least squares (Nakamura and Hanafusa 1986) with a posture in the null space.
local function speeds(g, joints, back, twist)
  local function joint(i) return part(g, joints, i - 1, i) end
  local none = g.mul { joint(1), 0 }
  local function column(x)
    x.axis = -1
    return g.reshape { g.concat(x), shape = { "B", 7, 1 } }
  end
  -- joints 3 and 5 near zero, the elbow upright, is a posture that all targets share
  local rest = column { none, none, g.mul { joint(3), -1.2 }, none, g.mul { joint(5), -2 }, none, none }
  -- near 180 degrees of joint 6 joints 5 and 7 share an axis, and joint 5 would swing away for nothing
  local aside = g.minimum { g.mul { g.square(g.sin(joint(6))), 4 }, 1 }
  local one = g.add { none, 1 }
  local ease = column { one, one, one, one, g.add { g.mul { aside, 0.2 }, 0.002 }, one, one }
  local damping = {}
  for i = 1, 6 do
    damping[i] = { 0, 0, 0, 0, 0, 0 }
    damping[i][i] = 0.02 ^ 2
  end
  local eased = g.mul { back, ease }
  local square = g.add { g.matmul { back, eased, transpose_a = true }, g:const("f32[6,6]", damping) }
  local wanted = g.sub { g.reshape { twist, shape = { "B", 6, 1 } }, g.matmul { back, rest, transpose_a = true } }
  return g.reshape { g.add { rest, g.matmul { eased, g.solve { square, wanted } } }, shape = { "B", 7 } }
end

-- The hand stands on something, whatever poses say, where it stays above the place it was told to go: f32[B,1] from 0 to -1.
-- In the air it trails by less than SLACK; that much is taken off, so that the action before this one is not seen.
local function pressing(g, joints, back)
  local ahead = g.reshape { g.sub { g:input("obs/joint_command", "f32[B,7]"), joints }, shape = { "B", 7, 1 } }
  local up = part(g, flat(g, g.matmul { back, ahead, transpose_a = true }, 6), 2, 3)
  return g.tanh(g.mul { g.minimum { g.add { up, SLACK }, 0 }, 1000 })
end

-- ---- what is learned -----------------------------------------------------------------------------------------------

local function slow(g, p)
  local ids = g.word_ids { g:input("instruction", "u8[B,96]"), words = 16, vocabulary = p.vocabulary }
  local words = g.embedding { g:weight("words", ("f32[%d,%d]"):format(p.vocabulary, p.words), "normal:0.5"), ids }
  local said = g.silu(layer(g, g.mul { g.reduce_mean { words, axes = { 1 } }, 4 }, "said", 64))
  local intent = layer(g, said, "intent", p.goals) -- what the sentence wants, whatever its words
  local heard = g.softmax(g.mul { intent, 2 })
  local task = g.tanh(layer(g, heard, "task", p.task))
  -- made from what was heard, not from the words: a softmax that errs early over all sentences with a word may never turn back
  local choice = g.softmax(g.reshape { g.mul { layer(g, heard, "choose", 2 * CHOSEN), 2 }, shape = { "B", CHOSEN, 1, 2 } })
  local pose = g:input("obs/sensed_pose", "f32[B,9,7]")
  local place = part(g, pose, 0, 3)
  local function row(x, i) return g.slice { x, axis = 1, start = i, stop = i + 1 } end
  local machine = flat(g, turn(g, part(g, row(pose, MACHINE), 3, 7)), 9)
  local lid = flat(g, turn(g, part(g, row(pose, LID), 3, 7)), 9)
  local cos, sin = part(g, machine, 0, 1), part(g, machine, 3, 4)
  local frame = upright(g, cos, sin)
  local lid_sin, lid_cos = g.neg(part(g, lid, 6, 7)), part(g, lid, 8, 9)
  local pairs = g.reshape { g.slice { place, axis = 1, start = 0, stop = 2 * CHOSEN }, shape = { "B", CHOSEN, 2, 3 } }
  local chosen = g.reshape { g.matmul { choice, pairs }, shape = { "B", CHOSEN, 3 } }
  local base, marker, mug, pod = row(place, MACHINE), row(place, MARKER), row(chosen, 0), row(chosen, 1)
  local function machined(p) return g.add { base, out_of(g, frame, g.add { g.mul { base, 0 }, drawn(g, p) }) } end
  local knob = g.add { row(place, LID), g.reshape { g.add {
    g.mul { g.concat { part(g, lid, 0, 1), part(g, lid, 3, 4), part(g, lid, 6, 7), axis = -1 }, KNOB_ALONG },
    g.mul { g.concat { part(g, lid, 2, 3), part(g, lid, 5, 6), part(g, lid, 8, 9), axis = -1 }, KNOB_ABOVE } }, shape = { "B", 1, 3 } } }
  local targets = g.concat { g.add { mug, drawn(g, { 0, 0, MUG_GRIP }) }, g.add { pod, drawn(g, { 0, 0, POD_GRIP }) }, knob,
                             machined(BEHIND), machined(MOUTH), axis = 1 }
  local ways = g.concat { g.sub { machined(PLACE), mug }, g.sub { marker, mug }, g.sub { machined(HOLDER), pod }, axis = 1 }
  local things = g.concat { mug, pod, marker, axis = 1 }
  local off = g.matmul { ways, frame }
  local seen = g.concat { scales(g, flat(g, off, 3 * WAYS)), scales(g, flat(g, level(g, ways), WAYS)),
                          flat(g, g.div { off, g.add { length(g, off), 0.005 } }, 3 * WAYS),
                          scales(g, flat(g, g.matmul { g.sub { things, base }, frame }, 3 * WAYS)), axis = -1 }
  local x = g.concat { task, seen, lid_sin, lid_cos, axis = -1 }
  x = g.silu(layer(g, x, "slow.1", p.slow))
  x = g.silu(layer(g, x, "slow.2", p.slow))
  return g.concat { flat(g, targets, 3 * TARGETS), flat(g, ways, 3 * WAYS), flat(g, things, 3 * WAYS), cos, sin, lid_sin, lid_cos,
                    task, seen, g.tanh(layer(g, x, "slow.3", p.context)), axis = -1 }, intent
end

local function seen_size() return 3 * 3 * WAYS + 3 * WAYS + 3 * WAYS + 3 * 3 * WAYS end
local function goal_size(p) return 3 * TARGETS + 6 * WAYS + 4 + p.task + seen_size() + p.context end

-- Everything that follows is the same when the robot and the table turn together about the robot's first axis.
local function fast(g, p, goal)
  local at = 0
  local function take(n)
    at = at + n
    return part(g, goal, at - n, at)
  end
  local function points(n) return g.reshape { take(3 * n), shape = { "B", n, 3 } } end
  local targets, ways, things, cos, sin = points(TARGETS), points(WAYS), points(WAYS), take(1), take(1)
  local joints = g:input("obs/joint_pos", "f32[B,7]")
  local first = part(g, joints, 0, 1)
  local column = upright(g, g.cos(first), g.sin(first)) -- the frame of the first link
  local machine = upright(g, cos, sin)
  local hand = g.reshape { turn(g, g:input("obs/eef_quat", "f32[B,4]")), shape = { "B", 3, 3 } }
  local place = g.reshape { g:input("obs/eef_pos", "f32[B,3]"), shape = { "B", 1, 3 } }
  local off = g.sub { targets, place }
  local seen = g.matmul { off, g.concat { column, hand, machine, axis = -1 } } -- in three frames
  local way = g.div { seen, g.add { length(g, off), 0.005 } }
  local flat_things = part(g, g.matmul { things, column }, 0, 2)
  local bearing = g.div { flat_things, length(g, flat_things) }
  local axes = g.concat { g.matmul { column, hand, transpose_a = true }, g.matmul { machine, hand, transpose_a = true },
                          g.matmul { column, machine, transpose_a = true }, axis = -1 }
  -- how far the hand leans, which is little
  local lean = flat(g, g.tanh(g.mul { part(g, g.slice { hand, axis = 1, start = 2, stop = 3 }, 0, 2), 40 }), 2)
  local width = g.reduce_sum { g:input("obs/gripper_pos", "f32[B,2]"), axes = { 1 }, keepdims = true }
  local function near(m) return g.tanh(g.mul { g.sub { width, m }, 250 }) end
  local force = g:input("obs/gripper_force", "f32[B,1]")
  local back = jacobian(g, joints)
  local felt = g.concat { g.mul { force, 0.05 }, g.tanh(force), pressing(g, joints, back), axis = -1 }
  local x = g.concat { flat(g, g.mul { g.matmul { place, column }, 1.2 }, 3), flat(g, axes, 27), lean, flat(g, bearing, 2 * WAYS),
                       g.mul { width, 12 }, near(0.0735), near(0.0626), near(0.04), near(0.022), felt,
                       part(g, goal, at, 0), flat(g, way, 9 * TARGETS), scales(g, flat(g, seen, 9 * TARGETS)),
                       scales(g, flat(g, level(g, off), TARGETS)), scales(g, flat(g, g.matmul { ways, column }, 3 * WAYS)), axis = -1 }
  x = g.silu(g.layer_norm { layer(g, x, "fast.1", p.width), w = "fast.1.norm.w", b = "fast.1.norm.b" })
  for i = 2, p.layers do x = g.add { x, g.silu(layer(g, x, "fast." .. i, p.width)) } end
  local head = layer(g, x, "head", 7)
  local move = out_of(g, machine, g.reshape { part(g, head, 0, 6), shape = { "B", 2, 3 } })
  local twist = flat(g, g.mul { move, g:const("f32[1,2,1]", { { { 0.25 }, { 1 } } }) }, 6)
  local speed = g.div { speeds(g, joints, back, twist), RAD_S }
  local worst = g.reduce_max { g.abs(speed), axes = { 1 }, keepdims = true }
  return g.concat { g.mul { speed, g.div { MOST, g.maximum { worst, MOST } } }, part(g, head, 6, 7), axis = -1 }
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
    return {
      slow = function(g) g:output("goal_features", (slow(g, p))) end,
      fast = function(g)
        local action = fast(g, p, g:input("goal_features", ("f32[B,%d]"):format(goal_size(p))))
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
