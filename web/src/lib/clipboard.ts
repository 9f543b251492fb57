/** Copying, also where the page came without TLS: there browsers have no `navigator.clipboard`. */

/** Throws when the browser does not let the page copy. */
export async function copy(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const box = document.createElement('textarea')
  const before = document.activeElement
  box.value = text
  box.className = 'sr-only'
  // Inside an open modal dialog: everything outside of it cannot be selected.
  ;(before?.closest('dialog') ?? document.body).append(box)
  box.focus()
  box.select()
  const copied = document.execCommand('copy')
  box.remove()
  if (before instanceof HTMLElement) before.focus()
  if (!copied) throw new Error('copying is not allowed')
}
