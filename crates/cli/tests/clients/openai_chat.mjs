// The openai package for Node against `/v1/chat/completions`: argv is the server's address, an API key and the model.
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";

const [address, key, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0, timeout: 30_000 });
const user = (content) => [{ role: "user", content }];
const ask = (content, more = {}) => client.chat.completions.create({ model, messages: user(content), ...more });
const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    const kinds = { AuthenticationError, BadRequestError, NotFoundError, RateLimitError, APIError };
    const kind = Object.keys(kinds).find((name) => error instanceof kinds[name]);
    return [kind ?? String(error), error.status ?? null, error.param ?? null, error.code ?? null];
  }
  return "answered";
};

const found = {};
const png =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const seen = await ask([
  { type: "text", text: 'say="A dot."' },
  { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } },
]);
found.image = seen.choices[0].message.content;

// `stream` accumulates and verifies; `finalChatCompletion` rejects a stream without its end.
const runner = client.chat.completions.stream({ model, messages: user('say="Grüße 👋🏽 you" chunk=1') });
const events = [];
runner.on("content", (delta) => events.push(delta));
const final = await runner.finalChatCompletion();
found.stream = [events.join(""), final.choices[0].message.content, final.choices[0].finish_reason];

// `runTools` is the package's own loop: it calls the function here and sends its answer.
const loop = client.chat.completions.runTools({
  model,
  messages: user('tool=add {"a": 1, "b": 2} say="It is 3."'),
  tools: [
    {
      type: "function",
      function: {
        name: "add",
        description: "Adds",
        parse: JSON.parse,
        parameters: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } } },
        function: ({ a, b }) => String(a + b),
      },
    },
  ],
});
found.loop = await loop.finalContent();
found.loop_roles = loop.messages.map((message) => message.role);

const own = await ask('tool=calculator {"expression": "6*7"} say="It is 42."');
found.own_tool = [own.choices[0].message.tool_calls ?? null, own.choices[0].message.content, own.loquat.tools[0].output];

found.errors = {
  key: await refused(() => new OpenAI({ baseURL: `${address}/v1`, apiKey: "loquat_no", maxRetries: 0 }).models.list()),
  model: await refused(() => client.chat.completions.create({ model: "gpt-none", messages: user("x") })),
  n: await refused(() => ask("x", { n: 2 })),
  throttled: await refused(() => ask("error=throttlingException")),
  in_stream: await refused(async () => {
    for await (const _ of await ask("error=modelStreamErrorException after=2 tokens=9", { stream: true }));
  }),
};
console.log(JSON.stringify(found));
