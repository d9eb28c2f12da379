// vit.mjs PACKAGES MODEL PIXELS THREADS RUNS: onnxruntime's side of vit.py: { ms: [...], logits: [...] }.
import fs from "fs";
import { createRequire } from "module";
import path from "path";

const [packages, model, pixels, ...numbers] = process.argv.slice(2);
const [threads, runs] = numbers.map(Number);
const ort = createRequire(path.resolve(packages, "package.json"))("onnxruntime-node");
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: "all" });
const bytes = fs.readFileSync(pixels);
const x = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
const feeds = { pixels: new ort.Tensor("float32", x, [1, 3, 224, 224]) };
const made = session.outputNames[0];
let logits = (await session.run(feeds))[made].data;
const ms = [];
for (let i = 0; i < runs; i++) {
  const from = performance.now();
  logits = (await session.run(feeds))[made].data;
  ms.push(performance.now() - from);
}
console.log(JSON.stringify({ ms, logits: Array.from(logits) }));
process.exit(0);
