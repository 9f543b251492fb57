import { describe, expect, it } from 'vitest'
import { spoken, wholeSentences } from '../src/components/Announcer'
import { translate } from '../src/i18n'
import { LANGUAGES, strings, type Key, type Language } from '../src/i18n/strings'
import { dayGroup } from '../src/lib/format'
import { inkOn, luminance } from '../src/lib/theme'

const languages = Object.keys(LANGUAGES) as Language[]

describe('the words', () => {
  it.each(languages)('%s has every string, with the same places to fill', (language) => {
    const places = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort()
    for (const [key, english] of Object.entries(strings.en) as [Key, string][]) {
      expect(strings[language][key], key).not.toBe('')
      expect(places(strings[language][key]), key).toEqual(places(english))
    }
  })
  it('are filled in', () => expect(translate('de')('versionOf', { n: 1, total: 2 })).toBe('Version 1 von 2'))
})

it('announces whole sentences only', () => {
  expect(wholeSentences('One. Two', 'en')).toBe('One. '.length)
  expect(wholeSentences('One. Two.', 'en')).toBe('One. Two.'.length)
  expect(wholeSentences('No end', 'en')).toBe(0)
})

it('speaks text without its marks', () => {
  expect(spoken('## It is **whole**. See `snake_case` and _this_ [link](https://example.com).\n```rust\nfn')).toBe(' It is whole. See snake_case and this link. ')
})

it('groups conversations by the reader’s own days', () => {
  const now = new Date(2026, 10, 23, 15)
  const group = (...date: [number, number, number, number]) => dayGroup(new Date(...date).toISOString(), now)
  expect(group(2026, 10, 23, 0)).toBe('today')
  expect(group(2026, 10, 22, 23)).toBe('yesterday')
  expect(group(2026, 10, 18, 12)).toBe('last7')
  expect(group(2026, 10, 1, 12)).toBe('last30')
  expect(group(2026, 8, 1, 12)).toBe('older')
})

it('writes on any accent in the colour that can be read', () => {
  expect(inkOn(luminance([181, 86, 31]))).toBe('#ffffff')
  expect(inkOn(luminance([250, 204, 21]))).toBe('#1c1712')
})
