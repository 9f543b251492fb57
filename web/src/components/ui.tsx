/** The small parts that everything is made of: buttons, menus, dialogs, spinner. Native popovers and dialogs do the hard work. */
import {
  createContext, useContext, useEffect, useId, useRef, useState,
  type ButtonHTMLAttributes, type KeyboardEvent, type ReactNode, type Ref,
} from 'react'

export const cx = (...classes: (string | false | undefined)[]) => classes.filter(Boolean).join(' ')

type IconButtonProps = ButtonHTMLAttributes<HTMLButtonElement> & {
  label: string
  tone?: 'plain' | 'accent' | 'ink'
  round?: boolean
  ref?: Ref<HTMLButtonElement>
}

/** A button with an icon only: the label is its accessible name and its tooltip (see Tips). */
export const IconButton = ({ label, tone = 'plain', round, className, ...rest }: IconButtonProps) => (
  <button
    type="button"
    aria-label={label}
    data-tip={label}
    className={cx(
      'inline-grid size-8 shrink-0 place-items-center transition-colors disabled:pointer-events-none pointer-coarse:size-10 [&_svg]:size-4',
      round ? 'rounded-full' : 'rounded-lg',
      tone === 'plain' && 'text-dim hover:bg-soft hover:text-ink aria-expanded:bg-soft aria-pressed:text-accent-text disabled:opacity-40',
      tone === 'accent' && 'bg-accent text-accent-ink hover:brightness-110 disabled:bg-soft disabled:text-dim',
      tone === 'ink' && 'bg-ink text-bg hover:opacity-85 disabled:opacity-40',
      className,
    )}
    {...rest}
  />
)

export const Spinner = ({ className }: { className?: string }) => (
  <span aria-hidden className={cx('inline-block size-3.5 animate-spin rounded-full border-2 border-line border-t-accent', className)} />
)

/** A sentence of the server's, with what stands between backticks as code. */
export const Ticked = ({ text }: { text: string }) => text.split('`').map((piece, i) => (i % 2 === 1 ? <code key={i} className="rounded bg-soft px-1 py-0.5 font-mono text-ink">{piece}</code> : piece))

export const buttonClass = 'rounded-lg border border-line px-3.5 py-2 text-sm font-medium hover:bg-soft disabled:pointer-events-none disabled:opacity-50'
export const primaryClass = 'rounded-lg bg-accent px-3.5 py-2 text-sm font-medium text-accent-ink hover:brightness-110 disabled:opacity-50'

const CloseMenu = createContext<() => void>(() => {})

/** Places a popover beside its button, inside the window. */
const place = (panel: HTMLElement, button: HTMLElement) => {
  const b = button.getBoundingClientRect()
  const p = panel.getBoundingClientRect()
  const below = b.bottom + 4 + p.height <= innerHeight - 8
  const rtl = getComputedStyle(button).direction === 'rtl'
  const x = rtl ? b.right - p.width : b.left
  panel.style.left = `${Math.max(8, Math.min(x, innerWidth - p.width - 8))}px`
  panel.style.top = `${below ? b.bottom + 4 : Math.max(8, b.top - p.height - 4)}px`
}

/** A menu button. Arrow keys move, Escape and a click elsewhere close, and the focus goes back to the button. */
export function Menu({ button, children, className }: { button: (props: object) => ReactNode; children: ReactNode; className?: string }) {
  const id = useId()
  const panel = useRef<HTMLDivElement>(null)
  const [open, setOpen] = useState(false)
  const trigger = useRef<HTMLElement | null>(null)
  const items = () => [...(panel.current?.querySelectorAll<HTMLElement>('[role^=menuitem]') ?? [])]

  const remember = (e: { currentTarget: HTMLElement }) => (trigger.current = e.currentTarget)
  const keys = (e: KeyboardEvent) => {
    const all = items()
    const at = all.indexOf(document.activeElement as HTMLElement)
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[e.key]
    if (e.key === 'Tab') panel.current?.hidePopover()
    if (to === undefined) return
    e.preventDefault()
    all.at(to % all.length)?.focus()
  }
  useEffect(() => {
    const element = panel.current
    const toggled = (e: Event) => {
      const shown = (e as ToggleEvent).newState === 'open'
      setOpen(shown)
      if (!shown || !element || !trigger.current) return
      place(element, trigger.current)
      items()[0]?.focus()
    }
    element?.addEventListener('toggle', toggled)
    return () => element?.removeEventListener('toggle', toggled)
  }, [])
  return (
    <CloseMenu value={() => panel.current?.hidePopover()}>
      {button({ 'aria-haspopup': 'menu', 'aria-expanded': open, popoverTarget: id, onClick: remember })}
      <div
        ref={panel}
        id={id}
        role="menu"
        popover="auto"
        onKeyDown={keys}
        className={cx('fixed z-50 max-h-[80dvh] min-w-48 overflow-y-auto rounded-xl border border-line bg-card p-1 text-sm font-normal text-ink shadow-lg shadow-black/10 dark:shadow-black/40', className)}
      >
        {children}
      </div>
    </CloseMenu>
  )
}

const itemClass = 'flex w-full items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-start text-sm outline-none select-none hover:bg-soft focus:bg-soft pointer-coarse:py-2.5 [&_svg]:size-4 [&_svg]:shrink-0'
type ItemProps = { children: ReactNode; onSelect(): void; danger?: boolean }

export const MenuItem = ({ children, onSelect, danger }: ItemProps) => {
  const close = useContext(CloseMenu)
  const select = () => (close(), onSelect())
  return (
    <button type="button" role="menuitem" tabIndex={-1} onClick={select} className={cx(itemClass, danger ? 'text-danger' : '[&_svg]:text-dim')}>
      {children}
    </button>
  )
}

export const MenuRadio = ({ children, checked, onSelect }: ItemProps & { checked: boolean }) => (
  <button type="button" role="menuitemradio" aria-checked={checked} tabIndex={-1} onClick={onSelect} className={cx(itemClass, '[&_svg]:text-dim')}>
    {children}
    <span aria-hidden className={cx('ms-auto size-2 rounded-full', checked && 'bg-accent')} />
  </button>
)

export const MenuLabel = ({ children }: { children: ReactNode }) => <div role="presentation" className="px-2.5 pt-2 pb-1 text-xs text-dim">{children}</div>
export const MenuLine = () => <div role="separator" className="my-1 h-px bg-line" />

/** The platform's own modal dialog: focus trap, inert page, Escape and top layer, without an inline style. */
export function Modal({ open, onClose, label, className, children }: { open: boolean; onClose(): void; label: string; className?: string; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    const dialog = ref.current
    if (open && !dialog?.open) dialog?.showModal()
    if (!open && dialog?.open) dialog.close()
  }, [open])
  // A click on the dialog's own element is one beside its content. And React lets the closing of a dialog inside bubble.
  const own = (e: { target: EventTarget; currentTarget: EventTarget }) => e.target === e.currentTarget && onClose()
  return (
    <dialog ref={ref} aria-label={label} onClose={own} onClick={own} className={cx('border-line bg-transparent text-ink outline-none backdrop:bg-black/45', className)}>
      {open && children}
    </dialog>
  )
}

/** A question with two answers. */
export function Confirm({ open, title, detail, yes, no, onYes, onNo }: { open: boolean; title: string; detail: string; yes: string; no: string; onYes(): void; onNo(): void }) {
  return (
    <Modal open={open} onClose={onNo} label={title} className="m-auto w-[min(26rem,calc(100vw-2rem))] rounded-2xl border bg-card! p-6 shadow-xl">
      <h2 className="font-semibold">{title}</h2>
      <p className="mt-2 text-sm text-dim">{detail}</p>
      <div className="mt-5 flex justify-end gap-2">
        <button type="button" autoFocus onClick={onNo} className={buttonClass}>{no}</button>
        <button type="button" onClick={onYes} className="rounded-lg bg-[oklch(0.53_0.19_27)] px-3.5 py-2 text-sm font-medium text-white hover:brightness-110">{yes}</button>
      </div>
    </Modal>
  )
}
