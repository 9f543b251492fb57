// Which official clients are installed. Each is loaded, so that a broken installation is noticed here.
import { readFileSync } from "node:fs";
import { HttpAgent } from "@ag-ui/client";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { readUIMessageStream } from "ai";
import OpenAI from "openai";

const loaded = {
  "@ag-ui/client": HttpAgent,
  "@modelcontextprotocol/sdk": Client,
  ai: readUIMessageStream,
  openai: OpenAI,
};
const here = new URL("./node_modules/", import.meta.url);
const versions = {};
for (const [name, part] of Object.entries(loaded)) {
  if (typeof part !== "function") throw new Error(`${name} is not what it was`);
  versions[name] = JSON.parse(readFileSync(new URL(`${name}/package.json`, here), "utf8")).version;
}
console.log(JSON.stringify(versions));
