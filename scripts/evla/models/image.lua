-- image.lua: pictures prepared inside a graph, for other model files. The sizes are known, so that all of it is
-- planned, checked and stored with the model.
--   local image = require "image"
--   local cameras = image.input(g, "cameras", { 2, 480, 640 })            -- u8[2,480,640,3]: 2 cameras, height, width
--   local pixels = cameras:resize_with_pad(512, 512):normalise "siglip"   -- f32[2,3,512,512]
-- One picture is { height, width }, without the number of them.
local image = {}
local picture = {}
picture.__index = picture

-- What means and deviations are called, of red, green and blue from 0 to 1. OpenVLA's checkpoint holds ImageNet's in bf16.
local NORMS = {
  imagenet = { mean = { 0.485, 0.456, 0.406 }, std = { 0.229, 0.224, 0.225 } },
  imagenet_bf16 = { mean = { 0.484375, 0.455078125, 0.40625 }, std = { 0.228515625, 0.2236328125, 0.224609375 } },
  clip = { mean = { 0.48145466, 0.4578275, 0.40821073 }, std = { 0.26862954, 0.26130258, 0.27577711 } },
  siglip = { mean = { 0.5, 0.5, 0.5 }, std = { 0.5, 0.5, 0.5 } },
  none = { mean = { 0, 0, 0 }, std = { 1, 1, 1 } },
}

local function fail(format, ...) error("image: " .. format:format(...), 3) end

local function size_of(height, width, what)
  for _, n in ipairs { height or 0, width or 0 } do
    if math.type(n) ~= "integer" or n < 1 then fail("%s: want height and width, got %s and %s", what, height, width) end
  end
end

-- A value of the graph as a picture: u8[height,width,3], or u8[n,height,width,3] of shape { n, height, width }.
function image.of(g, wire, shape)
  if type(shape) ~= "table" or #shape < 2 or #shape > 3 then fail("want a shape such as { 480, 640 } or { 2, 480, 640 }") end
  local height, width = shape[#shape - 1], shape[#shape]
  size_of(height, width, "shape")
  return setmetatable({ g = g, wire = wire, n = shape[3] and shape[1], height = height, width = width, is_real = false }, picture)
end

-- The same as an input of the graph.
function image.input(g, name, shape)
  local made = image.of(g, nil, shape)
  made.wire = g:input(name, ("u8[%s%d,%d,3]"):format(made.n and ("%s,"):format(made.n) or "", made.height, made.width))
  return made
end

local function changed(self, wire, height, width)
  return setmetatable({ g = self.g, wire = wire, n = self.n, height = height, width = width, is_real = self.is_real }, picture)
end

-- In f32, still from 0 to 255.
function picture:real()
  if self.is_real then return self end
  local made = changed(self, self.g.cast { self.wire, to = "f32" }, self.height, self.width)
  made.is_real = true
  return made
end

-- mode and antialias as the operator resize has them; antialias, which Pillow always has, unless how.antialias is false.
function picture:resize(height, width, how)
  size_of(height, width, "resize")
  how = how or {}
  local mode = how.mode or "bicubic"
  local antialias = how.antialias ~= false and not mode:find "nearest"
  return changed(self, self.g.resize { self.wire, size = { height, width }, mode = mode, antialias = antialias }, height, width)
end

-- The part of that size whose first pixel is (top, left).
function picture:cut(top, left, height, width)
  size_of(height, width, "cut")
  if top < 0 or left < 0 or top + height > self.height or left + width > self.width then
    fail("%d x %d pixels from (%d, %d) on do not lie in %d x %d", height, width, top, left, self.height, self.width)
  end
  local x = self.wire
  if height < self.height then x = self.g.slice { x, axis = -3, start = top, stop = top + height } end
  if width < self.width then x = self.g.slice { x, axis = -2, start = left, stop = left + width } end
  return changed(self, x, height, width)
end

-- The middle of that size; of odd rests the smaller half is above and to the left, as in Hugging Face's center_crop.
function picture:crop(height, width)
  size_of(height, width, "crop")
  return self:cut((self.height - height) // 2, (self.width - width) // 2, height, width)
end

-- The middle of an axis of n, that share of it, at n places again, the first and the last at its ends.
local function stretched(g, x, axis, n, share)
  local low, high, part = {}, {}, {}
  for i = 1, n do
    local at = (1 - share) / 2 * (n - 1) + (i - 1) * share
    low[i] = math.floor(at)
    high[i], part[i] = math.min(low[i] + 1, n - 1), at - low[i]
    if axis == -3 then part[i] = { { part[i] } } else part[i] = { part[i] } end
  end
  local ids, weights = ("i32[%d]"):format(n), (axis == -3 and "f32[%d,1,1]" or "f32[%d,1]"):format(n)
  local a, b = g.gather { x, g:const(ids, low), axis = axis }, g.gather { x, g:const(ids, high), axis = axis }
  return g.add { a, g.mul { g.sub { b, a }, g:const(weights, part) } }
end

-- The middle with that share of the area, as large as the whole again: TensorFlow's crop_and_resize, which OpenVLA's code
-- calls. It lays corners on corners, not edges on edges as resize does; u8 stays u8, rounded as convert_image_dtype does.
function picture:crop_area(share)
  if type(share) ~= "number" or share <= 0 or share > 1 then fail("crop_area: want a share of 0 to 1, got %s", tostring(share)) end
  local side, g, x = math.sqrt(share), self.g, self:real().wire
  x = stretched(g, stretched(g, x, -3, self.height, side), -2, self.width, side)
  if not self.is_real then x = g.cast { g.mul { x, 255.5 / 255 }, to = "u8" } end
  return changed(self, x, self.height, self.width)
end

-- So many pixels of a colour, 0 to 255 each, around it; black unless told.
function picture:border(top, left, bottom, right, colour)
  local g, x = self.g, self.wire
  colour = colour or { 0, 0, 0 }
  if type(colour) ~= "table" or #colour ~= 3 then fail("border: want a colour { red, green, blue }") end
  local kind = self.is_real and "f32" or "u8"
  local function grow(axis, before, after, height, width)
    if before < 0 or after < 0 then fail("border: %d x %d pixels are more than wanted", self.height, self.width) end
    if before + after == 0 then return end
    if colour[1] == 0 and colour[2] == 0 and colour[3] == 0 then
      x = g.pad { x, axis = axis, before = before, after = after }
      return
    end
    local function block(n)
      local shape = { self.n or 1, axis == -3 and n or height, axis == -2 and n or width, 3 }
      if not self.n then table.remove(shape, 1) end
      return g.broadcast { g:const(kind .. "[1,3]", { colour }), shape = shape }
    end
    local parts = { axis = axis }
    if before > 0 then parts[#parts + 1] = block(before) end
    parts[#parts + 1] = x
    if after > 0 then parts[#parts + 1] = block(after) end
    x = g.concat(parts)
  end
  grow(-3, top, bottom, self.height, self.width)
  local height = self.height + top + bottom
  grow(-2, left, right, height, self.width)
  return changed(self, x, height, self.width + left + right)
end

-- In the middle of a larger one.
function picture:pad(height, width, colour)
  size_of(height, width, "pad")
  local down, across = height - self.height, width - self.width
  return self:border(down // 2, across // 2, down - down // 2, across - across // 2, colour)
end

-- In the middle of a square: LLaVA's and MobileVLM's expand2square.
function picture:square(colour)
  local side = math.max(self.height, self.width)
  return self:pad(side, side, colour)
end

-- The shorter side gets that many pixels, the other keeps the proportion, rounded down.
function picture:shortest_edge(n, how)
  size_of(n, n, "shortest_edge")
  local height, width = self.height, self.width
  if height <= width then return self:resize(n, n * width // height, how) end
  return self:resize(n * height // width, n, how)
end

-- As large as fits, black on the left and above: lerobot's resize_with_pad of SmolVLA, in f32, bilinear without antialias.
function picture:resize_with_pad(height, width)
  size_of(height, width, "resize_with_pad")
  local ratio = math.max(self.width / width, self.height / height)
  local h, w = math.max(1, math.floor(self.height / ratio)), math.max(1, math.floor(self.width / ratio))
  return self:real():resize(h, w, { mode = "bilinear", antialias = false }):border(height - h, width - w, 0, 0)
end

-- What a vision tower reads: f32[n,3,height,width], (x / 255 - mean) / std. norm: one of the names above, or { mean, std }
-- with three numbers each. A value of the graph; the end of the preparation.
function picture:normalise(norm)
  local g, how = self.g, type(norm) == "table" and norm or NORMS[norm]
  if not how or not how.mean or not how.std then
    local names = {}
    for name in pairs(NORMS) do names[#names + 1] = name end
    table.sort(names)
    fail("normalise: want one of %s, or { mean = ..., std = ... }, got %s", table.concat(names, ", "), tostring(norm))
  end
  local factor, offset = {}, {}
  for i = 1, 3 do factor[i], offset[i] = 1 / (255 * how.std[i]), -how.mean[i] / how.std[i] end
  local function colours(v) return g:const("f32[3,1,1]", { { { v[1] } }, { { v[2] } }, { { v[3] } } }) end
  local planes = g.transpose { self.wire, perm = self.n and { 0, 3, 1, 2 } or { 2, 0, 1 } }
  if not self.is_real then planes = g.cast { planes, to = "f32" } end
  return g.add { g.mul { planes, colours(factor) }, colours(offset) }
end

-- Cameras of different sizes, { height, width, height, width, ... }, inputs camera1, camera2, ... of the graph, in one tensor:
-- prepare gives what a tower reads of each.
function image.cameras(g, sizes, prepare)
  local all = { axis = 0 }
  for c = 1, #sizes // 2 do
    local one = image.input(g, "camera" .. c, { sizes[2 * c - 1], sizes[2 * c] })
    all[c] = prepare(image.of(g, g.reshape { one.wire, shape = { 1, one.height, one.width, 3 } }, { 1, one.height, one.width }))
  end
  return #all > 1 and g.concat(all) or all[1]
end

return image
