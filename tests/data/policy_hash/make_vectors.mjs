// Writes expected.json: what an independent RFC 8785 implementation makes of inputs.json. See README.md.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import canonicalize from "canonicalize";

const here = new URL(".", import.meta.url);
const inputs = JSON.parse(readFileSync(new URL("inputs.json", here), "utf8"));
const sha256 = (text) => "sha256:" + createHash("sha256").update(text, "utf8").digest("hex");

const manifest = JSON.parse(readFileSync(new URL("node_modules/canonicalize/package.json", here), "utf8"));
const expected = { made_by: `npm canonicalize ${manifest.version}`, objects: {}, policies: {} };
for (const [name, text] of Object.entries(inputs.objects)) {
  const canonical = canonicalize(JSON.parse(text));
  expected.objects[name] = { utf8_hex: Buffer.from(canonical, "utf8").toString("hex"), sha256: sha256(canonical) };
}
for (const [name, text] of Object.entries(inputs.policies)) {
  expected.policies[name] = sha256("titan.riskpolicy.v1\n" + canonicalize(JSON.parse(text)));
}
writeFileSync(new URL("expected.json", here), JSON.stringify(expected, null, 1) + "\n");
