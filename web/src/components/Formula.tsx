/** A formula, set by KaTeX from a chunk of its own. KaTeX builds elements here: an HTML string would need inline styles. */
import katex from 'katex'
import 'katex/dist/katex.min.css'
import { useLayoutEffect, useRef } from 'react'

export default function Formula({ tex, display }: { tex: string; display: boolean }) {
  const ref = useRef<HTMLSpanElement>(null)
  useLayoutEffect(() => {
    if (!ref.current) return
    try {
      katex.render(tex, ref.current, { displayMode: display, throwOnError: true, strict: 'ignore', trust: false, maxExpand: 1000 })
    } catch {
      // Half a formula, or none that KaTeX knows: its source says more than an error.
      ref.current.textContent = tex
    }
  }, [tex, display])
  return <span ref={ref} dir="ltr" />
}
