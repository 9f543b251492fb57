/** The model's Markdown as elements. No raw HTML, no foreign image, no link that hides where it goes. */
import { isValidElement, memo, Suspense, useMemo, type ReactNode } from 'react'
import ReactMarkdown, { type Components } from 'react-markdown'
import remarkGfm from 'remark-gfm'
import remarkMath from 'remark-math'
import { hasMath, mend, normalizeMath, splitBlocks } from '../chat/blocks'
import { useT } from '../i18n'
import { chunk } from '../lib/lazy'
import { CodeBlock } from './CodeBlock'

const Formula = chunk(() => import('./Formula'))

const plain = (node: ReactNode): string => {
  if (typeof node === 'string' || typeof node === 'number') return String(node)
  if (Array.isArray(node)) return node.map(plain).join('')
  return isValidElement<{ children?: ReactNode }>(node) ? plain(node.props.children) : ''
}

const urlOf = (href: string): URL | undefined => {
  try {
    return new URL(href, location.origin)
  } catch {
    return undefined
  }
}

/** Where a link goes is shown, in words when its text claims another address. */
function Link({ href = '', children }: { href?: string; children?: ReactNode }) {
  const url = urlOf(href)
  if (!url || !/^(https?|mailto|tel):$/.test(url.protocol)) return <>{children}</>
  const text = plain(children)
  const claimed = /\b((?:[a-z0-9-]+\.)+[a-z]{2,})\b/i.exec(text)?.[1]?.toLowerCase()
  const misleading = claimed !== undefined && url.host !== '' && claimed !== url.host && !url.host.endsWith(`.${claimed}`)
  return (
    <>
      <a href={url.href} target="_blank" rel="noopener noreferrer nofollow" data-tip={url.href}>
        {children}
      </a>
      {misleading && <span className="text-dim"> ({url.host})</span>}
    </>
  )
}

/** A model can be talked into leaking data through an image's address, so a foreign image is a link. */
function Image({ src, alt }: { src?: string; alt?: string }) {
  const url = src ? urlOf(src) : undefined
  if (url && url.origin === location.origin) return <img src={url.href} alt={alt ?? ''} loading="lazy" />
  return <Link href={src}>{alt || src || 'image'}</Link>
}

function Table({ children }: { children?: ReactNode }) {
  const t = useT()
  return (
    <div className="table-wrap scroll-thin" tabIndex={0} role="region" aria-label={t('table')}>
      <table>{children}</table>
    </div>
  )
}

function Code({ className = '', children }: { className?: string; children?: ReactNode }) {
  const tex = plain(children)
  if (!/\blanguage-math\b/.test(className)) return <code dir="ltr">{children}</code>
  return (
    <Suspense fallback={<code>{tex}</code>}>
      <Formula tex={tex} display={className.includes('math-display')} />
    </Suspense>
  )
}

/** Fenced code; display maths comes in the same elements. */
function Pre({ children }: { children?: ReactNode }) {
  const child = isValidElement<{ className?: string; children?: ReactNode }>(children) ? children.props : undefined
  const className = child?.className ?? ''
  if (/\blanguage-math\b/.test(className) && className.includes('math-display')) return <>{children}</>
  const language = /language-([^\s]+)/.exec(className)?.[1]?.toLowerCase() ?? ''
  return <CodeBlock language={language} code={plain(child?.children).replace(/\n$/, '')} />
}

const auto = (Tag: 'p' | 'li' | 'h3' | 'h4' | 'h5' | 'h6' | 'blockquote', own = '') =>
  function Auto({ children, className = own }: { children?: ReactNode; className?: string }) {
    return <Tag dir="auto" className={className}>{children}</Tag>
  }

const RTL = /^\P{L}*[\p{sc=Arab}\p{sc=Hebr}\p{sc=Syrc}\p{sc=Thaa}\p{sc=Nkoo}\p{sc=Adlm}]/u

/** Its marks stand where its first item begins. `dir="auto"` would not look into items that have a direction of their own. */
const list = (Tag: 'ul' | 'ol') =>
  function List({ children, className, start }: { children?: ReactNode; className?: string; start?: number }) {
    return <Tag dir={RTL.test(plain(children)) ? 'rtl' : undefined} className={className} {...(Tag === 'ol' && { start })}>{children}</Tag>
  }

// The answer's headings stand below the page's own: h1 is the conversation's title, h2 says who speaks.
const components = {
  a: Link, img: Image, table: Table, code: Code, pre: Pre,
  p: auto('p'), li: auto('li'), ul: list('ul'), ol: list('ol'), blockquote: auto('blockquote'),
  h1: auto('h3', 'text-1'), h2: auto('h3', 'text-2'), h3: auto('h4', 'text-3'), h4: auto('h5'), h5: auto('h6'), h6: auto('h6'),
} as Components

const GFM = [remarkGfm]
const WITH_MATH = [remarkGfm, [remarkMath, { singleDollarTextMath: false }]] as never[]

const Block = memo(function Block({ text }: { text: string }) {
  const math = hasMath(text)
  return (
    <ReactMarkdown remarkPlugins={math ? WITH_MATH : GFM} components={components}>
      {math ? normalizeMath(text) : text}
    </ReactMarkdown>
  )
})

/** `running`: the end of the text is still being written. */
export default function Markdown({ text, running }: { text: string; running: boolean }) {
  const blocks = useMemo(() => splitBlocks(text), [text])
  return (
    <div className="prose-chat">
      {blocks.map((block, i) => (
        <div key={i}>
          <Block text={running && i === blocks.length - 1 ? mend(block) : block} />
        </div>
      ))}
    </div>
  )
}
