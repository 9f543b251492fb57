// A CDK app that includes the stack as `loquat synth --format json` prints it.
import { readFileSync } from "node:fs";
import { App, Stack, Validations } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";

/** Adds the template in `file` to `app`. The CDK side may go on from the included resources. */
export function includeAgent(app, id, file) {
  const template = JSON.parse(readFileSync(file, "utf8"));
  const parameters = { CodeBucket: "deployment-bucket" };
  // What `loquat package` writes, uploaded; in an app of your own, an s3-assets Asset.
  if (template.Parameters.CodeKey) parameters.CodeKey = `${id}/agent.zip`;
  if (template.Parameters.ImageUri) parameters.ImageUri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/agent:1";
  const stack = new Stack(app, id);
  const agent = new CfnInclude(stack, "Agent", { templateFile: file, parameters });
  acknowledge(agent, template, parameters);
  return { stack, agent };
}

/** The template gives a reason for each finding of cdk-nag that it accepts; cdk-nag 3 wants them as acknowledgements. */
function acknowledge(agent, template, parameters) {
  for (const [id, resource] of Object.entries(template.Resources)) {
    for (const rule of resource.Metadata?.cdk_nag?.rules_to_suppress ?? []) {
      const name = `AwsSolutions::${rule.id}`;
      // Findings on roles are per permission, and so are their acknowledgements.
      for (const finding of resource.Type === "AWS::IAM::Role" ? permissions(resource.Properties, parameters) : [""]) {
        Validations.of(agent.getResource(id)).acknowledge({ id: name + finding, reason: rule.reason });
      }
    }
  }
}

function permissions(role, parameters) {
  const text = (value) =>
    (value["Fn::Sub"] ?? String(value)).replace(/\$\{([^}]+)\}/g, (_, name) => parameters[name] ?? `<${name}>`);
  const resources = (role.Policies ?? [])
    .flatMap((policy) => policy.PolicyDocument.Statement.flatMap((statement) => statement.Resource))
    .map(text)
    .filter((resource) => resource.includes("*"));
  return [
    ...resources.map((resource) => `[Resource::${resource}]`),
    ...(role.ManagedPolicyArns ?? []).map((arn) => `[Policy::${text(arn)}]`),
  ];
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const app = new App();
  const { agent } = includeAgent(app, "agent", process.argv[2] ?? "template.json");
  // Anything of the included stack can be changed with CDK's types.
  agent.getResource("Function").memorySize = 512;
  app.synth();
}
