// Writes or checks the release that the Action takes for this commit.
//   node .github/action/release.mjs write VERSION DIST
//   node .github/action/release.mjs check VERSION DIST
//   node .github/action/release.mjs env
// DIST is where goreleaser put its binaries. env prints the COMMIT and DATE that the binaries
// of the recorded release contain, as lines for a shell; write takes them from the environment.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sourceDigest } from './main.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const file = join(here, 'release.json')
const [verb, version, dist] = process.argv.slice(2)
const fail = (text) => { console.error(text); process.exit(2) }

const isCommit = (s) => /^[0-9a-f]{40}$/.test(s ?? '')
const isDate = (s) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(s ?? '')

if (verb === 'env') {
  const { commit, date } = JSON.parse(readFileSync(file, 'utf8'))
  if (!isCommit(commit) || !isDate(date)) fail(`${file} lacks the commit and date of its sources`)
  console.log(`COMMIT=${commit}\nDATE=${date}`)
  process.exit()
}
if (!['write', 'check'].includes(verb) || !/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version ?? '') || !dist) fail('release.mjs write|check VERSION DIST, or release.mjs env')
const { COMMIT: commit, DATE: date } = process.env
if (!isCommit(commit) || !isDate(date)) fail('COMMIT (40 hex digits) and DATE (like 2026-01-31T09:30:00Z) of the sources are needed in the environment')
const sha256 = {}
for (const a of JSON.parse(readFileSync(join(dist, 'artifacts.json'), 'utf8'))) {
  if (a.type === 'Binary') sha256[`${a.goos}-${a.goarch}`] = createHash('sha256').update(readFileSync(a.path)).digest('hex')
}
const sorted = Object.fromEntries(Object.entries(sha256).sort())
const text = `${JSON.stringify({ version, commit, date, sources: sourceDigest(resolve(here, '..', '..')), sha256: sorted }, null, 2)}\n`
if (verb === 'write') {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error(`${file} does not name what was built:\n${text}`)
  process.exit(1)
}
