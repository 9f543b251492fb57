/**
 * Keeps the conversation where the reader wants it: a new question moves to the top with room for its answer, the end
 * is followed while the reader is there, and never once the reader has scrolled away.
 */
import { useCallback, useLayoutEffect, useRef, useState, type RefObject } from 'react'

/** How near to the end counts as being there, in pixels. */
const NEAR = 48

export function useStick(viewport: RefObject<HTMLElement | null>, list: RefObject<HTMLElement | null>, anchor: string | undefined, conversation: string | undefined) {
  const spacer = useRef<HTMLDivElement>(null)
  const pinned = useRef(true)
  const [away, setAway] = useState(false)

  const look = useCallback(() => {
    const view = viewport.current
    const items = list.current
    // The room below the last answer is nothing that one could miss.
    if (view && items) setAway(items.getBoundingClientRect().bottom - view.getBoundingClientRect().bottom > NEAR * 3)
  }, [viewport, list])

  const settle = useCallback(() => {
    const view = viewport.current
    const items = list.current
    if (!view || !items || !spacer.current) return
    const question = anchor === undefined ? null : items.querySelector<HTMLElement>(`[data-turn="${CSS.escape(anchor)}"]`)
    const used = question ? items.getBoundingClientRect().bottom - question.getBoundingClientRect().top : Infinity
    spacer.current.style.height = `${Math.max(0, view.clientHeight - used - 8)}px`
    if (pinned.current) view.scrollTop = view.scrollHeight
    look()
  }, [viewport, list, anchor, look])

  const toEnd = useCallback(() => {
    pinned.current = true
    settle()
  }, [settle])

  // A new question, or another conversation, begins at its end.
  useLayoutEffect(toEnd, [anchor, conversation, toEnd])

  useLayoutEffect(() => {
    const view = viewport.current
    const items = list.current
    if (!view || !items) return
    const observer = new ResizeObserver(settle)
    observer.observe(items)
    observer.observe(view)
    let before = view.scrollTop
    const scrolled = () => {
      const left = view.scrollHeight - view.clientHeight - view.scrollTop
      // Growth moves the end away without any scrolling; only going up is the reader's wish.
      if (view.scrollTop < before - 2 && left > NEAR) pinned.current = false
      else if (left <= NEAR) pinned.current = true
      before = view.scrollTop
      look()
    }
    view.addEventListener('scroll', scrolled, { passive: true })
    return () => {
      observer.disconnect()
      view.removeEventListener('scroll', scrolled)
    }
  }, [viewport, list, settle, look, conversation])

  return { spacer, away, toEnd }
}
