#!/usr/bin/python3
"""denoise.t -- models/denoise.lua: loops of flow matching, with inpainting and guidance, DDPM and DDIM as schedules, against NumPy in float64 from the papers."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np

evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(os.path.dirname(here), "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-denoise-")
at = lambda *name: os.path.join(work.name, *name)
T, N = 8, 5
rng = np.random.default_rng(5)
beta = np.linspace(0.01, 0.2, T).astype("f4").astype("f8")
alpha, ab = 1 - beta, np.cumprod(1 - beta)
x0, noise = rng.normal(size=N), rng.normal(size=(T, N))
known, keep = rng.normal(size=N), np.array([1, 1, 0.5, 0.25, 0])
guess = lambda x: 0.7 * x + 0.1  # what stands for a network


def flow(steps):
    x = x0
    for _ in range(steps):
        x = x - guess(x) / steps
    return x


def ddpm():  # Ho et al. 2020, eqs. 6 and 7
    x = x0
    for t in reversed(range(T)):
        clean = (x - np.sqrt(1 - ab[t]) * guess(x)) / np.sqrt(ab[t])
        if t == 0:
            return clean
        mean = np.sqrt(ab[t - 1]) * beta[t] / (1 - ab[t]) * clean + np.sqrt(alpha[t]) * (1 - ab[t - 1]) / (1 - ab[t]) * x
        x = mean + np.sqrt(beta[t] * (1 - ab[t - 1]) / (1 - ab[t])) * noise[t]


def ddim(steps):  # Song et al. 2021, eq. 12, sigma = 0
    x, at_t = x0, [(steps - s) * T // steps - 1 for s in range(steps)]
    for s, t in enumerate(at_t):
        clean = (x - np.sqrt(1 - ab[t]) * guess(x)) / np.sqrt(ab[t])
        to = ab[at_t[s + 1]] if s < steps - 1 else 1.0
        x = np.sqrt(to) * clean + np.sqrt(1 - to) * guess(x)
    return x


def inpaint(steps):
    """What is known (weight 1) is noised and put in the place of x after every step, by halves where the weight is one half; the
    noise is the one that x began with, or what x still has of it"""
    x = x0
    for s in range(steps):
        t, after = 1 - s / steps, 1 - (s + 1) / steps
        left = np.where(keep == 1, x0, (x - (1 - t) * known) / t)
        x = keep * (after * left + (1 - after) * known) + (1 - keep) * (x - guess(x) / steps)
    return x


mix = rng.normal(size=(N, N)).astype("f4").astype("f8")
bent = lambda x: np.tanh(mix @ x) + 0.3 * x  # a network whose outputs depend on all its inputs


def guide(steps, most):
    """Black, Galliker, Levine 2025, equations 2 to 4, in their own time: tau from 0 (noise) to 1, velocity towards the answer. The
    product with the derivative of the network by central differences."""
    a = x0
    for s in range(steps):
        tau = s / steps
        end = lambda a: a + (1 - tau) * -bent(a)
        e, h = keep * (known - end(a)), 1e-5
        jacobian = np.stack([(end(a + h * d) - end(a - h * d)) / (2 * h) for d in np.eye(N)], 1)
        r2 = (1 - tau) ** 2 / (tau ** 2 + (1 - tau) ** 2)
        weight = min(most, (1 - tau) / (tau * r2)) if tau else most
        a = a + (-bent(a) + weight * (e @ jacobian)) / steps
    return a


numbers = lambda v: "{" + ",".join(map(repr, np.asarray(v, "f8").tolist())) + "}"
table = lambda m: "{" + ",".join(map(numbers, m)) + "}"
os.makedirs(at("models"))
with open(at("models", "loops.lua"), "w") as f:
    f.write(f"""local denoise = require "denoise"
return function()
  local function begin(g)
    local x = g:input("x", "f32[{N}]")
    local law = {{ alpha = g:const("f32[{T}]", {numbers(alpha)}), alpha_bar = g:const("f32[{T}]", {numbers(ab)}), beta = g:const("f32[{T}]", {numbers(beta)}) }}
    return x, g.add {{ g.mul {{ x, 0.7 }}, 0.1 }}, law
  end
  return {{
    inpaint = function(g)
      local x, v = begin(g)
      local vel = denoise.inpaint(g, x, v, denoise.step(g), 6, g:const("f32[{N}]", {numbers(known)}), g:const("f32[{N}]", {numbers(keep)}))
      g:output("x", denoise.flow(g, x, vel, 6))
    end,
    guide = function(g)
      local x = begin(g)
      local v = g.tanh(g.matmul {{ g:const("f32[{N},{N}]", {table(mix)}), g.reshape {{ x, shape = {{ {N}, 1 }} }} }})
      v = g.add {{ g.reshape {{ v, shape = {{ {N} }} }}, g.mul {{ x, 0.3 }} }}
      v = denoise.guide(g, x, v, denoise.step(g), 6, g:const("f32[{N}]", {numbers(known)}), g:const("f32[{N}]", {numbers(keep)}), 2.3)
      g:output("x", denoise.flow(g, x, v, 6))
    end,
    flow = function(g) local x, v = begin(g) g:output("x", denoise.flow(g, x, v, 6)) end,
    ddpm = function(g)
      local x, eps, law = begin(g)
      g:output("x", denoise.ddpm(g, x, eps, denoise.step(g), g:input("noise", "f32[{T},{N}]"), law, {T}, "posterior"))
    end,
    ddim = function(g) local x, eps, law = begin(g) g:output("x", denoise.ddim(g, x, eps, denoise.step(g), law.alpha_bar, 4, {T})) end,
    all = function(g) local x, eps, law = begin(g) g:output("x", denoise.ddim(g, x, eps, denoise.step(g), law.alpha_bar, {T}, {T})) end,
  }}
end
""")
with open(at("loops.lua"), "w") as f:
    f.write("local evla = require 'evla'\nlocal m = evla.model 'loops' {}\nlocal jobs = { m }\n")
    for name, times, want in (("flow", 6, flow(6)), ("inpaint", 6, inpaint(6)), ("guide", 6, guide(6, 2.3)), ("ddpm", T, ddpm()), ("ddim", 4, ddim(4)), ("all", T, ddim(T))):
        more = f", noise = {numbers(noise.ravel())}" if name == "ddpm" else ""
        f.write(f"jobs[#jobs + 1] = evla.call '{name}' {{ model = m, schedule = {{ {{ graph = '{name}', times = {times} }} }}, "
                f"values = {{ x = {numbers(x0)}{more} }}, expect = {{ x = {numbers(want)} }}, within = 2e-5 }}\n")
    f.write("return evla.program(jobs)\n")
r = subprocess.run([evla, "run", at("loops.lua"), "--out", at("out")], cwd=work.name, capture_output=True, text=True)
for name, title in (("flow", "flow matching by Euler's rule, 6 steps"), ("inpaint", "flow that keeps to what is known, as inpainting does"), ("guide", "flow that is led to what is known, as guidance does"), ("ddpm", "DDPM by its posterior, 8 steps"), ("ddim", "DDIM over every second of 8 times"),
                    ("all", "DDIM over all of them")):
    path = at("out", "loops", name, "job.json")
    error = json.load(open(path))["figures"]["error_x"] if os.path.exists(path) else None
    tap.ok(error is not None and error <= 2e-5, f"{title}: off by {error}, at most 2e-5", r.stdout + r.stderr)
tap.done()
