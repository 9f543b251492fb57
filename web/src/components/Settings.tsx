/** Who is signed in, and the reader's own settings. */
import { ActivityIcon, BrainIcon, LogOutIcon, MonitorIcon, MoonIcon, SettingsIcon, SunIcon, Trash2Icon } from 'lucide-react'
import { useState } from 'react'
import { useI18n } from '../i18n'
import { LANGUAGES, type Language } from '../i18n/strings'
import { say } from '../lib/notice'
import { useTheme } from '../lib/theme'
import { useServices } from './context'
import { Memory } from './Memory'
import { Confirm, Menu, MenuItem, MenuLabel, MenuLine, MenuRadio } from './ui'

const THEMES = [['light', SunIcon], ['dark', MoonIcon], ['system', MonitorIcon]] as const

export function Settings({ onInspect, onSignOut }: { onInspect(): void; onSignOut?: () => void }) {
  const { t, language, setLanguage } = useI18n()
  const { auth, config, sessions } = useServices()
  const [theme, setTheme] = useTheme()
  const [clearing, setClearing] = useState(false)
  const [remembering, setRemembering] = useState(false)
  const user = auth.user()
  const clear = () => {
    setClearing(false)
    sessions.removeAll().then(() => location.assign('/'), () => say('deleteAllFailed'))
  }
  return (
    <div className="shrink-0 border-t border-line p-2.5 pb-[max(0.625rem,env(safe-area-inset-bottom))]">
      <Menu
        className="w-60"
        button={(props) => (
          <button type="button" {...props} className="flex w-full items-center gap-3 rounded-lg px-2.5 py-2 text-start text-sm hover:bg-soft aria-expanded:bg-soft">
            {user ? (
              <span aria-hidden className="grid size-7 shrink-0 place-items-center rounded-full bg-accent text-xs font-semibold text-accent-ink uppercase">{user.slice(0, 2)}</span>
            ) : (
              <SettingsIcon aria-hidden className="size-4 text-dim" />
            )}
            <span className="min-w-0 flex-1 truncate">{user ?? t('settings')}</span>
          </button>
        )}
      >
        <MenuLabel>{t('appearance')}</MenuLabel>
        {THEMES.map(([value, Icon]) => (
          <MenuRadio key={value} checked={theme === value} onSelect={() => setTheme(value)}><Icon /> {t(value)}</MenuRadio>
        ))}
        <MenuLine />
        <MenuLabel>{t('language')}</MenuLabel>
        {(Object.entries(LANGUAGES) as [Language, string][]).map(([value, name]) => (
          <MenuRadio key={value} checked={language === value} onSelect={() => setLanguage(value)}><span lang={value}>{name}</span></MenuRadio>
        ))}
        <MenuLine />
        <MenuItem onSelect={onInspect}><ActivityIcon /> {t('inspector')}</MenuItem>
        {config.memory && <MenuItem onSelect={() => setRemembering(true)}><BrainIcon /> {t('memory', { name: config.agent.name })}</MenuItem>}
        {config.sessions && <MenuItem danger onSelect={() => setClearing(true)}><Trash2Icon /> {t('deleteAll')}</MenuItem>}
        {onSignOut && <MenuItem onSelect={onSignOut}><LogOutIcon /> {t('signOut')}</MenuItem>}
      </Menu>
      {config.memory && <Memory open={remembering} onClose={() => setRemembering(false)} />}
      <Confirm open={clearing} title={t('deleteAllQuestion')} detail={t('deleteAllDetail')} yes={t('delete')} no={t('cancel')} onYes={clear} onNo={() => setClearing(false)} />
    </div>
  )
}
