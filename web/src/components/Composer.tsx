/** Where messages are written: grows with the text, keeps drafts, takes files by picker, paste and drop. */
import { ArrowUpIcon, FileTextIcon, PaperclipIcon, SquareIcon, XIcon } from 'lucide-react'
import { useEffect, useLayoutEffect, useRef, useState, type ClipboardEvent, type FormEvent, type KeyboardEvent } from 'react'
import type { Live, Message } from '../chat/store'
import type { Attachment } from '../chat/history'
import { useI18n } from '../i18n'
import { bytes } from '../lib/format'
import { readDraft, writeDraft } from '../lib/storage'
import { useServices } from './context'
import { cx, IconButton } from './ui'

const IMAGES = ['image/png', 'image/jpeg', 'image/gif', 'image/webp']
const DOCUMENTS = ['application/pdf', 'text/plain', 'text/markdown', 'text/csv', 'text/html', '.md', '.txt', '.csv', '.docx', '.xlsx']
const BY_ENDING: Record<string, string> = {
  md: 'text/markdown', txt: 'text/plain', csv: 'text/csv', pdf: 'application/pdf', html: 'text/html',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
}

const mediaTypeOf = (file: File): string => {
  const ending = file.name.split('.').at(-1)?.toLowerCase() ?? ''
  return (BY_ENDING[ending] ?? file.type) || 'application/octet-stream'
}

const readBase64 = (file: File): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(String(reader.result).split(',', 2)[1] ?? '')
    reader.onerror = () => reject(reader.error ?? new Error('unreadable'))
    reader.readAsDataURL(file)
  })

interface Props {
  session: string | undefined
  live: Live | undefined
  onSend(text: string, files: Attachment[]): void
  onStop(): Message | undefined
}

export function Composer({ session, live, onSend, onStop }: Props) {
  const { t, language } = useI18n()
  const { config } = useServices()
  const [text, setText] = useState(() => readDraft(session))
  const [files, setFiles] = useState<Attachment[]>([])
  const [complaint, setComplaint] = useState('')
  const [dragging, setDragging] = useState(false)
  const box = useRef<HTMLTextAreaElement>(null)
  const picker = useRef<HTMLInputElement>(null)
  const { images, documents, max_bytes } = config.attachments
  const accepts = [...(images ? IMAGES : []), ...(documents ? DOCUMENTS : [])]
  const takesFiles = accepts.length > 0

  const change = (value: string) => {
    setText(value)
    writeDraft(session, value)
  }

  // A message that the server could not take comes back as a draft.
  useEffect(() => {
    const restore = (e: Event) => {
      setText(readDraft(session))
      setFiles((e as CustomEvent<Attachment[]>).detail)
    }
    addEventListener('loquat:draft', restore)
    return () => removeEventListener('loquat:draft', restore)
  }, [session])

  useEffect(() => {
    // On a phone the focus would open the keyboard over the conversation.
    if (!matchMedia('(pointer: coarse)').matches) box.current?.focus()
  }, [])

  useLayoutEffect(() => {
    const element = box.current
    if (!element || CSS.supports?.('field-sizing', 'content')) return
    element.style.height = 'auto'
    element.style.height = `${element.scrollHeight}px`
  }, [text])

  const add = async (chosen: File[]) => {
    setComplaint('')
    for (const file of chosen) {
      const mediaType = mediaTypeOf(file)
      const isImage = IMAGES.includes(mediaType)
      const isDocument = !isImage && (DOCUMENTS.includes(mediaType) || Object.values(BY_ENDING).includes(mediaType))
      if (!((images && isImage) || (documents && isDocument))) setComplaint(t('fileType', { name: file.name }))
      else if (file.size > max_bytes) setComplaint(t('fileTooBig', { name: file.name, limit: bytes(max_bytes, language) }))
      else {
        const data = await readBase64(file).catch(() => undefined)
        if (data === undefined) setComplaint(t('fileUnreadable', { name: file.name }))
        else setFiles((before) => [...before, { name: file.name, mediaType, data }])
      }
    }
  }

  const ready = (text.trim() !== '' || files.length > 0) && !live
  const submit = (e?: FormEvent) => {
    e?.preventDefault()
    if (!ready) return
    if (new Blob([text]).size > config.limits.message_bytes) return setComplaint(t('errorTooLong'))
    onSend(text, files)
    change('')
    setFiles([])
    setComplaint('')
  }
  const keys = (e: KeyboardEvent) => {
    // Enter in an input method chooses a word; on a touch keyboard it makes a line.
    if (e.key !== 'Enter' || e.shiftKey || e.nativeEvent.isComposing || matchMedia('(pointer: coarse)').matches) return
    e.preventDefault()
    submit()
  }
  const paste = (e: ClipboardEvent) => {
    const pasted = [...e.clipboardData.files]
    if (!takesFiles || pasted.length === 0) return
    e.preventDefault()
    void add(pasted)
  }
  // Anywhere on the page: a file that is dropped beside the composer would take the browser away to itself.
  useEffect(() => {
    const drag = (e: DragEvent) => {
      if (!e.dataTransfer?.types.includes('Files')) return
      e.preventDefault()
      const left = e.type === 'dragleave' && e.relatedTarget === null
      if (takesFiles && e.type === 'dragover') setDragging(true)
      if (left || e.type === 'drop') setDragging(false)
      if (e.type === 'drop') void add([...e.dataTransfer.files])
    }
    const events = ['dragover', 'dragleave', 'drop'] as const
    for (const name of events) addEventListener(name, drag)
    return () => {
      for (const name of events) removeEventListener(name, drag)
    }
  })
  const stop = () => {
    const unsent = onStop()
    if (unsent) {
      change(unsent.text)
      setFiles(unsent.attachments)
    }
    box.current?.focus()
  }

  return (
    <form onSubmit={submit}>
      {complaint && <p role="alert" className="mb-2 px-1 text-sm text-danger">{complaint}</p>}
      <div className={cx('relative rounded-[1.4rem] border bg-card shadow-sm transition-colors focus-within:border-accent-text/55', dragging ? 'border-accent-text border-dashed' : 'border-line')}>
        {dragging && <div className="pointer-events-none absolute inset-0 z-10 grid place-items-center rounded-[1.4rem] bg-card/90 text-sm font-medium text-accent-text">{t('dropHere')}</div>}
        {files.length > 0 && (
          <ul className="flex flex-wrap gap-2 px-3 pt-3">
            {files.map((file, i) => (
              <li key={i} className="flex max-w-60 items-center gap-2 rounded-lg border border-line bg-panel py-1 ps-1.5 pe-1 text-sm">
                {file.mediaType.startsWith('image/') ? <img src={`data:${file.mediaType};base64,${file.data}`} alt="" className="size-7 rounded object-cover" /> : <FileTextIcon aria-hidden className="mx-1 size-4 shrink-0 text-dim" />}
                <span className="truncate">{file.name}</span>
                <IconButton label={t('removeFile', { name: file.name })} className="size-6 pointer-coarse:size-8 [&_svg]:size-3.5" onClick={() => setFiles((before) => before.filter((f) => f !== file))}><XIcon /></IconButton>
              </li>
            ))}
          </ul>
        )}
        <textarea
          ref={box}
          dir="auto"
          rows={1}
          enterKeyHint="enter"
          aria-label={t('message')}
          placeholder={t('placeholder', { name: config.agent.name })}
          value={text}
          onChange={(e) => change(e.target.value)}
          onKeyDown={keys}
          onPaste={paste}
          className="scroll-thin field-sizing-content block max-h-[min(18rem,40dvh)] w-full resize-none bg-transparent px-4 pt-3.5 pb-1 text-base leading-relaxed outline-none placeholder:text-dim sm:text-[0.9375rem]"
        />
        <div className="flex items-center gap-1 p-2 pt-1">
          {takesFiles && (
            <>
              <IconButton label={t('attach')} round onClick={() => picker.current?.click()}><PaperclipIcon /></IconButton>
              <input ref={picker} type="file" multiple hidden accept={accepts.join(',')} onChange={(e) => (void add([...(e.target.files ?? [])]), (e.target.value = ''))} />
            </>
          )}
          <span className="flex-1" />
          {/* Keys: one button that turned from "stop" into "submit" during its own click would send what it stopped. */}
          {live ? (
            <IconButton key="stop" label={live.stopping ? t('stopping') : t('stop')} tone="ink" round disabled={live.stopping} className="[&_svg]:size-3 [&_svg]:fill-current" onClick={stop}><SquareIcon /></IconButton>
          ) : (
            <IconButton key="send" label={t('sendMessage')} tone="accent" round type="submit" disabled={!ready}><ArrowUpIcon /></IconButton>
          )}
        </div>
      </div>
    </form>
  )
}
