/** One tooltip for the whole page: shows the `data-tip` of what the pointer rests on or the keyboard focuses. */
import { useEffect, useRef } from 'react'

const PATIENCE_MS = 450

export function Tips() {
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const tip = ref.current
    if (!tip || typeof tip.showPopover !== 'function') return
    let timer: ReturnType<typeof setTimeout> | undefined
    const hide = () => {
      clearTimeout(timer)
      if (tip.matches(':popover-open')) tip.hidePopover()
    }
    const show = (target: HTMLElement) => {
      const text = target.dataset.tip
      // An open modal dialog makes everything outside it inert, but what is in the top layer after it is still seen.
      if (!text || !target.isConnected || target.getAttribute('aria-expanded') === 'true') return
      tip.textContent = text
      tip.showPopover()
      const t = target.getBoundingClientRect()
      const own = tip.getBoundingClientRect()
      const top = t.top - own.height - 6
      tip.style.top = `${top < 4 ? t.bottom + 6 : top}px`
      tip.style.left = `${Math.max(4, Math.min(t.left + t.width / 2 - own.width / 2, innerWidth - own.width - 4))}px`
    }
    const after = (e: Event, ms: number) => {
      const target = e.target instanceof Element ? e.target.closest<HTMLElement>('[data-tip]') : null
      hide()
      if (target) timer = setTimeout(() => show(target), ms)
    }
    const over = (e: PointerEvent) => e.pointerType === 'mouse' && after(e, PATIENCE_MS)
    const focus = (e: Event) => e.target instanceof Element && e.target.matches(':focus-visible') && after(e, 0)
    const escape = (e: KeyboardEvent) => e.key === 'Escape' && hide()
    const events: [string, (e: never) => unknown][] = [
      ['pointerover', over], ['focusin', focus], ['focusout', hide], ['pointerdown', hide], ['keydown', escape], ['scroll', hide],
    ]
    for (const [name, listener] of events) document.addEventListener(name, listener as EventListener, true)
    return () => {
      hide()
      for (const [name, listener] of events) document.removeEventListener(name, listener as EventListener, true)
    }
  }, [])
  // The label is the button's accessible name already, so the tooltip says nothing new to a screen reader.
  return <div ref={ref} popover="manual" aria-hidden className="pointer-events-none fixed max-w-72 rounded-md bg-ink px-2 py-1 text-xs font-medium text-bg shadow-md" />
}
