/**
 * Markdown that is still being written: cut into blocks, so that only the last one is parsed again for every token, and
 * its loose end mended, so that half a `**bold` does not flash as asterisks. Pure.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const LIST = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/
const DEFINITION = /^ {0,3}\[[^\]]+\]:/m

/** Top-level blocks in order; joined they are the text again. */
export function splitBlocks(text: string): string[] {
  // Link and footnote definitions reach across blocks, so a text that has them stays whole.
  if (DEFINITION.test(text)) return [text]
  const blocks: string[] = []
  let current = ''
  let fence: string | undefined
  let math = false
  let blank = false
  let list = false
  for (const line of text.match(/[^\n]*\n|[^\n]+$/g) ?? []) {
    const empty = line.trim() === ''
    if (fence === undefined && !math && blank && !empty) {
      // A blank line ends a block, unless what follows still belongs to a list.
      const goesOn = list && (/^\s/.test(line) || LIST.test(line))
      if (!goesOn) {
        blocks.push(current)
        current = ''
      }
    }
    if (current === '' && !empty) list = LIST.test(line)
    const mark = FENCE.exec(line.trimStart().length < line.length && list ? line.trimStart() : line)?.[1]
    if (fence !== undefined) {
      if (mark?.startsWith(fence) && line.trim() === mark) fence = undefined
    } else if (mark !== undefined) fence = mark
    else if (/^\s*(\$\$|\\\[)\s*$/.test(line) || /^\s*(\$\$|\\\])\s*$/.test(line)) math = /\\\[/.test(line) || (!/\\\]/.test(line) && !math)
    blank = empty
    current += line
  }
  if (current !== '') blocks.push(current)
  return blocks
}

/** Outside of code only: the odd-numbered pieces of this split are code spans. */
const codeSpans = (text: string) => text.split(/(`+[^`]*`+)/)

/** Closes what the last block has opened and not closed yet. */
export function mend(block: string): string {
  if (FENCE.test(block)) return block
  // The head of a table is a line of pipes until its rule has come.
  const lines = block.split('\n')
  const first = lines[0] ?? ''
  if (first.trimStart().startsWith('|') && !/^[\s|:-]*-[\s|:-]*\|[\s|:-]*$/.test(lines[1] ?? '') && lines.length <= 2) return ''
  let mended = block
  if ((mended.match(/`/g) ?? []).length % 2 === 1) mended += '`'
  const plain = codeSpans(mended).filter((_, i) => i % 2 === 0).join('')
  // Half a link shows its text only.
  const link = /!?\[([^\][]*)\]\([^()\s]*$|!?\[([^\][]*)$/.exec(mended)
  if (link && !/`[^`]*$/.test(mended.slice(0, link.index))) mended = mended.slice(0, link.index) + (link[1] ?? link[2] ?? '')
  // A mark that has just been opened has nothing to embolden yet: "**" alone would be a rule or a list.
  if ((plain.match(/\*\*/g) ?? []).length % 2 === 1) mended = /\*\*\s*$/.test(mended) ? mended.replace(/\*\*\s*$/, '') : `${mended}**`
  else if ((plain.match(/~~/g) ?? []).length % 2 === 1) mended = /~~\s*$/.test(mended) ? mended.replace(/~~\s*$/, '') : `${mended}~~`
  return mended
}

const MATH = /\\\(|\\\[|\$\$|(?<![\\\w$])\$(?=[^\s$])[^$\n]*[^\s\\$]\$(?!\d)/

/** Whether the maths chunk is needed at all. */
export const hasMath = (text: string): boolean => MATH.test(text)

/**
 * Brings the ways that models write maths to the one that the parser takes, `$$`. A single dollar counts only where it
 * cannot be money: nothing blank inside it, no digit after it.
 */
export function normalizeMath(text: string): string {
  let fence: string | undefined
  let inside = false
  return text
    .split('\n')
    .map((line) => {
      const mark = FENCE.exec(line)?.[1]
      if (fence !== undefined) {
        if (mark?.startsWith(fence)) fence = undefined
        return line
      }
      if (mark !== undefined) {
        fence = mark
        return line
      }
      // Display maths has its marks on lines of their own here; models write them beside the formula as well.
      if (inside) {
        const end = /^(.*?)\s*\$\$\s*$/.exec(line)
        if (!end) return line
        inside = false
        return end[1] ? `${end[1]}\n$$` : line
      }
      const [, indent = '', rest] = /^(\s*)\$\$(.*)$/.exec(line) ?? []
      if (rest !== undefined) {
        const whole = /^(.+?)\$\$\s*$/.exec(rest)?.[1]
        if (whole && !whole.includes('$$')) return `${indent}$$\n${indent}${whole.trim()}\n${indent}$$`
        if (!rest.includes('$$')) {
          inside = true
          return rest.trim() ? `${indent}$$\n${indent}${rest.trim()}` : line
        }
      }
      return codeSpans(line)
        .map((piece, i) =>
          i % 2 === 1
            ? piece
            : piece
                .replace(/^(\s*)\\\[(.*)\\\]\s*$/, '$1$$$$\n$1$2\n$1$$$$')
                .replace(/^(\s*)\\\[/, '$1$$$$\n')
                .replace(/\\\]\s*$/, '\n$$$$')
                .replace(/\\\((.+?)\\\)/g, '$$$$$1$$$$')
                .replace(/(?<![\\\w$])\$(?=[^\s$])([^$\n]*[^\s\\$])\$(?![\d$])/g, '$$$$$1$$$$'),
        )
        .join('')
    })
    .join('\n')
}
