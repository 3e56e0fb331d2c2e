// Writes or checks the release that the Action takes for this commit.
//   node .github/action/release.mjs write VERSION DIST
//   node .github/action/release.mjs check VERSION DIST
// DIST is where goreleaser put its binaries.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sourceDigest } from './main.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const [verb, version, dist] = process.argv.slice(2)
if (!['write', 'check'].includes(verb) || !/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version ?? '') || !dist) {
  console.error('release.mjs write|check VERSION DIST')
  process.exit(2)
}
const sha256 = {}
for (const a of JSON.parse(readFileSync(join(dist, 'artifacts.json'), 'utf8'))) {
  if (a.type === 'Binary') sha256[`${a.goos}-${a.goarch}`] = createHash('sha256').update(readFileSync(a.path)).digest('hex')
}
const sorted = Object.fromEntries(Object.entries(sha256).sort())
const text = `${JSON.stringify({ version, sources: sourceDigest(resolve(here, '..', '..')), sha256: sorted }, null, 2)}\n`
const file = join(here, 'release.json')
if (verb === 'write') {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error(`${file} does not name what was built:\n${text}`)
  process.exit(1)
}
