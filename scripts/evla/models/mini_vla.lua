-- mini_vla.lua: a small vision-language-action policy: a CNN sees, a GRU reads, an MLP takes noise from an action.
-- github.com/keivalya/mini-vla; the loop is Ho et al. 2020 with the spread of its authors' code.
local body, denoise = require "body", require "denoise"

return {
  options = body.options {
    size = { type = "int", default = 64, min = 8, max = 4096, doc = "rows and columns of the image" },
    tokens = { type = "int", default = 1, min = 1, max = 64, doc = "words of the instruction" },
    state = { type = "int", default = 8, min = 1, max = 4096, doc = "numbers of the robot's own state" },
    action = { type = "int", default = 7, min = 1, max = 4096, doc = "numbers of an action" },
    width = { type = "int", default = 128, min = 1, max = 65536, doc = "features of what each sense says" },
    text = { type = "int", default = 64, min = 1, max = 65536, doc = "features of a word" },
    time = { type = "int", default = 32, min = 2, max = 65536, doc = "features of a time, even" },
    steps = { type = "int", default = 16, min = 1, max = 100000, doc = "times of the noise law" },
  },
  graphs = function(p)
    local function linear(g, x, name) return g.linear { x, w = name .. ".weight", b = name .. ".bias" } end
    local function norm(g, x, name) return g.layer_norm { x, w = name .. ".weight", b = name .. ".bias" } end
    local takes = { image = { "image", side = p.size }, words = { "token", n = p.tokens }, state = { "state", n = p.state }, answer = { rows = 1, n = p.action } }
    return body.graphs(p, takes, {
      sense = function(g)
        local image = g:input("image", ("u8[%d,%d,3]"):format(p.size, p.size))
        local x = g.transpose { g.reshape { g.div { g.cast { image, to = "f32" }, 255 }, shape = { 1, p.size, p.size, 3 } }, perm = { 0, 3, 1, 2 } }
        for i = 1, 3 do
          local name = ("img_encoder.conv%d"):format(i)
          x = g.relu(g.conv2d { x, w = name .. ".weight", b = name .. ".bias", stride = { 2, 2 }, padding = { i == 1 and 2 or 1 } })
        end
        local seen = norm(g, linear(g, g.reduce_mean { x, axes = { 2, 3 } }, "img_encoder.proj"), "img_encoder.ln")

        local words = g.embedding { "txt_encoder.embed.weight", g:input("token", ("i32[%d]"):format(p.tokens)), embedding_dim = p.text }
        local h = g.fill { shape = { 1, p.width }, value = 0 }
        for i = 0, p.tokens - 1 do
          local word = g.slice { words, axis = 0, start = i, stop = i + 1 }
          h = g.gru_cell { word, h, w_ih = "txt_encoder.gru.weight_ih_l0", w_hh = "txt_encoder.gru.weight_hh_l0",
                           b_ih = "txt_encoder.gru.bias_ih_l0", b_hh = "txt_encoder.gru.bias_hh_l0" }
        end
        local read = norm(g, h, "txt_encoder.ln")

        local state = g.reshape { g:input("state", ("f32[%d]"):format(p.state)), shape = { 1, p.state } }
        local felt = norm(g, linear(g, g.relu(linear(g, state, "state_encoder.net.0")), "state_encoder.net.2"), "state_encoder.ln")

        local all = g.concat { seen, read, felt, axis = -1 }
        g:output("cond", norm(g, linear(g, g.relu(linear(g, all, "fusion.net.0")), "fusion.net.2"), "fusion.ln"))
      end,
      act = function(g)
        local step, half = denoise.step(g), p.time // 2
        local x = g:input("x", ("f32[1,%d]"):format(p.action)) -- noise at first
        local cond = g:input("cond", ("f32[1,%d]"):format(p.width))
        local times = {}
        for s = 1, p.steps do times[s] = p.steps - s end
        local waves = denoise.waves(times, half, function(t, part) return t * math.exp(math.log(1000) * part) end)
        local time = denoise.row(g, g:const(("f32[%d,1,%d]"):format(p.steps, 2 * half), waves), step)
        local net = "diffusion_head.denoise_model.net."
        local h = g.relu(linear(g, g.concat { x, time, cond, axis = -1 }, net .. "0"))
        local eps = linear(g, g.relu(linear(g, h, net .. "2")), net .. "4")
        local function law(name) return g:weight("diffusion_head." .. name, ("f32[%d]"):format(p.steps)) end
        local noise = g:input("noise", ("f32[%d,1,%d]"):format(p.steps, p.action))
        x = denoise.ddpm(g, x, eps, step, noise, { alpha = law "alphas", alpha_bar = law "alpha_bar", beta = law "betas" }, p.steps, "renoised")
        g:output("x", x)
        g:output("action", x)
      end,
    })
  end,
}
