/**
 * Without a pointer: writing, sending, moving between conversations, and drafts that stay. At the size of a phone, too,
 * where a keyboard may be plugged in: Enter makes a line there, as on a touch keyboard, and the list is a drawer.
 */
import type { Page } from '@playwright/test'
import { expect, finished, message, test, words } from './support'

const keyboard = (page: Page, isMobile: boolean) => {
  const press = (key: string) => page.keyboard.press(key)
  const tabTo = async (name: RegExp | string, role: 'button' | 'link' | 'textbox' = 'button') => {
    const target = page.getByRole(role, { name, exact: role === 'textbox' }).first()
    for (let i = 0; i < 60 && !(await target.evaluate((e) => e === document.activeElement)); i++) await press('Tab')
    await expect(target).toBeFocused()
  }
  return {
    press,
    tabTo,
    write: async (text: string) => {
      // On a phone the focus would open the touch keyboard over the conversation, so nothing has it at first.
      if (isMobile) await tabTo('Message', 'textbox')
      await expect(message(page)).toBeFocused()
      await page.keyboard.type(text)
    },
    submit: async (name: RegExp | string = 'Send message') => {
      if (isMobile) await tabTo(name)
      await press('Enter')
    },
    openList: async () => {
      if (!isMobile) return
      await tabTo('Open conversations')
      await press('Enter')
    },
    closeList: async () => {
      if (!isMobile) return
      await press('Escape')
      await expect(page.getByRole('button', { name: 'Close conversations' })).toBeHidden()
    },
  }
}

test('keeps drafts per conversation, and works with the keyboard alone', async ({ chat: page, model, isMobile }) => {
  const { press, write, submit } = keyboard(page, isMobile)
  await write('one')
  await press('Shift+Enter')
  await page.keyboard.type('two')
  await page.reload()
  await expect(message(page)).toHaveValue('one\ntwo')
  await write('!')
  await submit()
  const call = await model.next()
  expect(call.said.replace('!', '')).toBe('one\ntwo')
  call.say('Seen.').end()
  await finished(page)
  await expect(message(page)).toHaveValue('')
  await message(page).focus()
  await page.keyboard.type('a draft')
  await press('Control+Shift+O')
  await expect(message(page)).toHaveValue('')
  await page.goBack()
  await expect(words(page)).toHaveText('Seen.')
  await expect(message(page)).toHaveValue('a draft')
})

test('everything can be reached without a pointer', async ({ chat: page, model, isMobile }) => {
  const { press, tabTo, write, submit, openList, closeList } = keyboard(page, isMobile)
  await write('first')
  await submit()
  const call = await model.next()
  call.say('Half an ')
  await expect(words(page)).toContainText('Half an')
  // The button to stop stands where the one to send was.
  await tabTo('Stop generating')
  await press('Enter')
  await expect(page.getByText('You stopped this answer.')).toBeVisible()
  await expect(message(page)).toBeFocused()

  // The first stop on the page leads past the list.
  await page.reload()
  await expect(words(page)).toContainText('Half an')
  await page.evaluate(() => (document.activeElement as HTMLElement).blur())
  await tabTo('Skip to the conversation', 'link')
  await press('Enter')
  await tabTo('Edit message')
  await press('Enter')
  await page.keyboard.type(' and better')
  await submit(/^Send$/)
  ;(await model.next()).say('Whole.').end()
  await finished(page)
  await tabTo('Previous version')
  await press('Enter')
  await expect(words(page)).toHaveText('Half an')
  await tabTo('Back to the latest')
  await press('Enter')
  await expect(words(page)).toHaveText('Whole.')

  await openList()
  await tabTo(/^Options for first/)
  await press('Enter')
  await expect(page.getByRole('menuitem', { name: 'Rename' })).toBeFocused()
  await press('End')
  await expect(page.getByRole('menuitem', { name: 'Delete' })).toBeFocused()
  await press('Home')
  await press('Enter')
  await page.keyboard.type('Renamed')
  await press('Enter')
  await closeList()
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Renamed')
  await openList()
  await tabTo(/^Options for Renamed/)
  await press('Enter')
  await expect(page.getByRole('menuitem', { name: 'Rename' })).toBeFocused()
  await press('ArrowUp')
  await press('Enter')
  await expect(page).toHaveURL(/\/$/)
  await tabTo('Undo')
  await press('Enter')
  await openList()
  await tabTo('Renamed', 'link')
  await press('Enter')
  await expect(words(page)).toHaveText('Whole.')
})
