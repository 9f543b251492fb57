// Lets the stand-in server answer by an OpenAI-compatible model (OPENAI_BASE_URL), so that the browser tests can be
// written and tried without the real program.
const toText = (content) => content.flatMap((c) => (c.text === undefined ? [] : [c.text])).join('')
const toParts = (content) => {
  const images = content.flatMap((c) => (c.image ? [{ type: 'image_url', image_url: { url: `data:image/${c.image.format};base64,${c.image.source.bytes}` } }] : []))
  return images.length > 0 ? [{ type: 'text', text: toText(content) }, ...images] : toText(content)
}

export async function askModel(run) {
  const { messages } = run.session
  for (;;) {
    const history = [...messages.map((m) => ({ role: m.role, content: toParts(m.content) })), { role: 'assistant', content: toText(run.content) }].filter((m) => m.content !== '')
    const abort = new AbortController()
    run.abort = abort
    const response = await fetch(`${process.env.OPENAI_BASE_URL}/chat/completions`, { method: 'POST', body: JSON.stringify({ stream: true, messages: history }), signal: abort.signal })
    if (!response.ok) throw Object.assign(new Error((await response.json()).error.message), { refused: true })
    const calls = new Map()
    let buffer = ''
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      buffer += chunk
      for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
        const line = buffer.slice(6, end)
        buffer = buffer.slice(end + 2)
        if (line === '[DONE]') continue
        const { choices, usage } = JSON.parse(line)
        if (usage) run.emit('usage', { step: 1, model: 'openai/test', input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens, stop_reason: 'end_turn' })
        const delta = choices[0]?.delta ?? {}
        if (delta.reasoning_content) run.emit('reasoning', { reasoning: delta.reasoning_content })
        if (delta.content) {
          if (run.content.at(-1)?.text === undefined) run.content.push({ text: '' })
          run.content.at(-1).text += delta.content
          run.emit('', { text: delta.content })
        }
        for (const call of delta.tool_calls ?? []) {
          if (call.id) {
            calls.set(call.index, { id: call.id, name: call.function.name, input: '' })
            run.emit('tool_start', { id: call.id, name: call.function.name })
          }
          calls.get(call.index).input += call.function.arguments
          run.emit('tool_input', { id: calls.get(call.index).id, delta: call.function.arguments })
        }
      }
    }
    if (calls.size === 0) return
    for (const { id, name, input } of calls.values()) {
      run.emit('tool_call', { id, name, input: JSON.parse(input) })
      run.content.push({ toolUse: { toolUseId: id, name, input: JSON.parse(input) } })
      const output = `There is no tool called ${name}.`
      run.emit('tool_result', { id, name, output, is_error: true, duration_ms: 1 })
      run.result(id, output, true)
    }
  }
}
