// The included stack synthesizes, can be changed from CDK, and passes cdk-nag.
// TEMPLATES: the JSON templates to test, separated by colons; `cargo test -p loquat-cloud` sets it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Validations } from "aws-cdk-lib";
import { AwsSolutionsChecks } from "cdk-nag";
import { includeAgent } from "./app.mjs";

const files = (process.env.TEMPLATES ?? "template.json").split(":");

for (const file of files) {
  test(`cdk-nag finds nothing unexplained in ${file}`, () => {
    const app = new App();
    includeAgent(app, "agent", file);
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    app.synth();
  });
}

test("a resource can be changed from CDK", () => {
  const app = new App();
  const { stack, agent } = includeAgent(app, "agent", files[0]);
  agent.getResource("Function").memorySize = 512;
  const template = app.synth().getStackByName(stack.stackName).template;
  assert.equal(template.Resources.Function.Properties.MemorySize, 512);
  assert.equal(template.Resources.ChatMethod.Properties.Integration.ResponseTransferMode, "STREAM");
});

test("cdk-nag sees what is wrong", () => {
  const app = new App();
  const { agent } = includeAgent(app, "agent", files[0]);
  agent.getResource("Key").enableKeyRotation = false;
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  assert.throws(() => app.synth());
});
