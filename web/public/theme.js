// Runs before the first paint, as a file of its own: the Content-Security-Policy forbids inline scripts.
;(() => {
  let choice = null
  try {
    choice = localStorage.getItem('theme')
  } catch {
    // storage is blocked: follow the system
  }
  const dark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.classList.toggle('dark', dark)
})()
