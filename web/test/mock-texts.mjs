// What the stand-in server says, and the conversations it starts with.
import { randomUUID } from 'node:crypto'

const report = `The agent is healthy, and its 95th percentile is *within* budget.

| Metric | Last hour | Budget |
|:--|--:|--:|
| p50 latency | 412 ms | 800 ms |
| p95 latency | 1.9 s | 2.5 s |
| Error rate | 0.04 % | 0.5 % |

A streaming handler in Rust keeps memory flat, because every token is written as it arrives:

\`\`\`rust
/// Streams the events of a run to the client.
async fn chat(State(app): State<App>, Json(body): Json<ChatRequest>) -> Result<Response, Problem> {
    let run = app.runs.start(body.message, body.session_id).await?;
    Ok(Sse::new(run.events().map(|event| encode(&event))).into_response())
}
\`\`\`

To see it for yourself:

1. Open the dashboard and filter by \`session_id\`.
2. Compare the two curves; the [runbook](https://example.com/runbook) says what is normal.

> Alarms fire after **three** consecutive breaches, not before.
`
const formula = `Start from $ax^2 + bx + c = 0$ with $a \\neq 0$ and complete the square:

$$
\\left(x + \\frac{b}{2a}\\right)^2 = \\frac{b^2 - 4ac}{4a^2}
$$

Taking the root gives the two solutions

\\[ x = \\frac{-b \\pm \\sqrt{b^2 - 4ac}}{2a} \\]

The discriminant \\(b^2 - 4ac\\) decides how many of them are real. (It costs $5, not $10.)
`
const arabic = `مرحبا! هذه إجابة قصيرة بالعربية.

- العنصر الأول
- العنصر الثاني مع \`code\`
`
const part = (i) => `## Part ${i + 1}\n\n${report.replace(/^> .*$/m, '')}`

export const ANSWER = { report, formula, arabic, huge: Array.from({ length: 30 }, (_, i) => part(i)).join('\n') }

export function seedSessions() {
  const hour = 3_600_000
  const list = [
    ['Cold starts on provisioned Lambda', 2, 'Why are my cold starts slow?', 'Mostly **init time**: imports, config fetches and TLS handshakes.'],
    ['Rotate the signing keys', 26, 'How do I rotate a JWKS?', 'Publish the new key first, then switch signing.'],
    ['Sliding window or summarising?', 30, 'Which context strategy?', 'Start with the sliding window.'],
    ['Draft the incident report', 24 * 5, 'Draft it', 'Here is a draft.'],
    ['S3 lifecycle rules', 24 * 6, 'Which rules?', 'Expire after 24 h.'],
    ['Plan the quarterly review', 24 * 20, 'Plan it', 'Three sections should do.'],
  ]
  return new Map(
    list.map(([title, hours, question, text]) => {
      const id = randomUUID()
      const at = new Date(Date.now() - hours * hour).toISOString()
      const metadata = { created_at: at, run_id: randomUUID() }
      const messages = [
        { role: 'user', content: [{ text: question }], metadata },
        { role: 'assistant', content: [{ text }], metadata: { ...metadata, outcome: 'complete', model: 'local/smollm2', usage: { input_tokens: 812, output_tokens: 96 } } },
      ]
      return [id, { session_id: id, title, created_at: at, updated_at: at, messages, branches: [] }]
    }),
  )
}
