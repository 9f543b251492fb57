/** The page's entry. */
import './index.css'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { App } from './App'
import { I18n } from './i18n'
import { followTheme } from './lib/theme'

const root = document.getElementById('root')
if (!root) throw new Error('#root is missing')
followTheme()
createRoot(root).render(
  <StrictMode>
    <I18n>
      <App />
    </I18n>
  </StrictMode>,
)
