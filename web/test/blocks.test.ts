import { describe, expect, it } from 'vitest'
import { hasMath, mend, normalizeMath, splitBlocks } from '../src/chat/blocks'

const LONG = 'Intro\nstill intro\n\n# Head\n\n```rust\nfn a() {}\n\nfn b() {}\n```\n\n- one\n\n  more of one\n\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$$\nx\n\ny\n$$\n\nend'

describe('blocks', () => {
  it('are the text again, at every length of it', () => {
    for (let end = 0; end <= LONG.length; end++) expect(splitBlocks(LONG.slice(0, end)).join('')).toBe(LONG.slice(0, end))
  })
  it('keep fences, lists and maths whole', () => {
    expect(splitBlocks(LONG).map((b) => b.trim().split('\n')[0])).toEqual(['Intro', '# Head', '```rust', '- one', '| a | b |', '$$', 'end'])
  })
  it('never change once another has begun', () => {
    let before: string[] = []
    for (let end = 0; end <= LONG.length; end++) {
      const now = splitBlocks(LONG.slice(0, end))
      expect(now.slice(0, before.length - 1)).toEqual(before.slice(0, -1))
      before = now
    }
  })
  it('stay one where definitions reach across them', () => {
    expect(splitBlocks('See [a].\n\n[a]: https://example.com\n\nend')).toHaveLength(1)
  })
})

describe('mending', () => {
  it.each([
    ['some **bold', 'some **bold**'],
    ['some **', 'some '],
    ['some `code', 'some `code`'],
    ['some `a ** b`', 'some `a ** b`'],
    ['see [the docs](https://exam', 'see the docs'],
    ['see [the do', 'see the do'],
    ['see [the docs](https://example.com) and', 'see [the docs](https://example.com) and'],
    ['~~old', '~~old~~'],
    ['| a | b |', ''],
    ['| a | b |\n|---|', '| a | b |\n|---|'],
    ['```js\nlet **a', '```js\nlet **a'],
    ['plain', 'plain'],
  ])('%j becomes %j', (from, to) => expect(mend(from)).toBe(to))
})

describe('maths', () => {
  it.each([
    ['\\(a+b\\)', '$$a+b$$'],
    ['so $x^2$ is', 'so $$x^2$$ is'],
    ['costs $5 and $10', 'costs $5 and $10'],
    ['`$x$`', '`$x$`'],
    ['```\n$x$\n```', '```\n$x$\n```'],
    ['\\[\nx\n\\]', '$$\n\nx\n\n$$'],
    ['$$\nx\n$$', '$$\nx\n$$'],
    ['$$x^2 + y^2$$', '$$\nx^2 + y^2\n$$'],
    ['  $$ x $$  ', '  $$\n  x\n  $$'],
    ['so $$x$$ is', 'so $$x$$ is'],
    ['$$x$$ and $$y$$', '$$x$$ and $$y$$'],
    ['$$ a = b \\\\\n c = d $$\nend $x$', '$$\na = b \\\\\n c = d\n$$\nend $$x$$'],
    ['`$$x$$`', '`$$x$$`'],
  ])('%j becomes %j', (from, to) => expect(normalizeMath(from)).toBe(to))
  it('is looked for before its chunk is loaded', () => {
    expect(hasMath('costs $5 and $10')).toBe(false)
    expect(hasMath('so $x$ is')).toBe(true)
    expect(hasMath('\\[ x \\]')).toBe(true)
  })
})
