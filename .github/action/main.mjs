// Finds the quell that belongs to this commit, and runs it. The release that this
// commit names is taken if its sources are this commit's, and checked before it is
// run; otherwise quell is built from them with the runner's Go. Nothing but Node's own
// library is used.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { dirname, join, posix, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'

const here = dirname(fileURLToPath(import.meta.url))
const root = resolve(here, '..', '..')

// What a binary is made of.
const sources = ['cmd', 'revokers', 'rules', 'scanners', 'go.mod', 'go.sum']

// sourceDigest is a SHA-256 over the names and contents of what a binary is made of.
export function sourceDigest(root) {
  const list = []
  const walk = (rel) => {
    for (const e of readdirSync(join(root, rel), { withFileTypes: true })) {
      const name = posix.join(rel, e.name)
      if (e.isDirectory()) walk(name)
      else if (e.isFile() && !name.endsWith('_test.go')) list.push(name)
    }
  }
  for (const s of sources) {
    if (s.startsWith('go.')) list.push(s)
    else walk(s)
  }
  const all = createHash('sha256')
  for (const name of list.sort()) {
    all.update(`${createHash('sha256').update(readFileSync(join(root, name))).digest('hex')}  ${name}\n`)
  }
  return all.digest('hex')
}

// platform is a release's name for this machine.
export function platform() {
  const os = { linux: 'linux', darwin: 'darwin', win32: 'windows' }[process.platform]
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch]
  return os && arch ? `${os}-${arch}` : `${process.platform}-${process.arch}`
}

const exe = process.platform === 'win32' ? 'quell.exe' : 'quell'

// A binary is some 30 MB; more is none of ours.
const maxBinary = 256 << 20

function matches(bytes, want) {
  return createHash('sha256').update(bytes).digest('hex') === want
}

// released gives the release's binary, or null where this commit has none. cache keeps
// what was fetched; what is run is a copy of one's own, of bytes that were checked.
export async function released(root, cache, temp, { fetch = globalThis.fetch, base = 'https://github.com/quellhq/quell/releases/download' } = {}) {
  const file = join(root, '.github', 'action', 'release.json')
  if (!existsSync(file)) return null
  const release = JSON.parse(readFileSync(file, 'utf8'))
  const want = release.sha256?.[platform()]
  if (!want || release.sources !== sourceDigest(root)) return null
  const kept = join(cache, `quell-${want}`)
  let bytes = existsSync(kept) ? readFileSync(kept) : null
  if (!bytes || !matches(bytes, want)) {
    bytes = await download(`${base}/v${release.version}/quell-${platform()}.gz`, want, fetch)
    try {
      mkdirSync(cache, { recursive: true })
      writeFileSync(`${kept}.${process.pid}`, bytes)
      renameSync(`${kept}.${process.pid}`, kept)
    } catch (e) {
      console.log(`quell: the binary is not kept: ${e.code}`)
    }
  }
  const to = join(mkdtempSync(join(temp, 'quell-release-')), exe)
  writeFileSync(to, bytes, { mode: 0o755 })
  return to
}

async function download(url, want, fetch) {
  let last
  for (let n = 1; n <= 3; n++) {
    let bytes
    try {
      const answer = await fetch(url)
      if (!answer.ok) throw new Error(`${url} answers ${answer.status}`)
      bytes = gunzipSync(Buffer.from(await answer.arrayBuffer()), { maxOutputLength: maxBinary })
    } catch (e) {
      last = e
      continue
    }
    // Before it may be run, and not after. A second try would not make it right.
    if (!matches(bytes, want)) throw new Error(`${url} is not the release that this commit names: its checksum differs`)
    return bytes
  }
  throw last
}

// built builds quell from the action's own files.
export function built(root, temp, run = spawnSync) {
  const to = join(mkdtempSync(join(temp, 'quell-built-')), exe)
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-trimpath -buildvcs=false -mod=readonly', GOWORK: 'off' }
  delete env.GOOS
  delete env.GOARCH
  const done = run('go', ['build', '-o', to, './cmd/quell'], { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] })
  if (done.error?.code === 'ENOENT') throw new Error('this commit has no release for ' + platform() + ', and there is no Go to build it with (actions/setup-go installs one)')
  if (done.error) throw done.error
  if (done.status !== 0) throw new Error('the build failed')
  return to
}

async function main() {
  const temp = process.env.RUNNER_TEMP || tmpdir()
  const quell = (await released(root, process.env.RUNNER_TOOL_CACHE || temp, temp)) || built(root, temp)
  const child = spawn(quell, ['action'], { stdio: 'inherit', cwd: process.env.GITHUB_WORKSPACE })
  for (const s of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(s, () => child.kill(s))
  child.on('error', (e) => fail(e))
  child.on('exit', (code, signal) => { process.exitCode = code ?? 128 + (constants.signals[signal] ?? 1) })
}

function fail(e) {
  const text = String(e.message).replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  console.log(`::error title=quell::${text}`)
  process.exitCode = 2
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) main().catch(fail)
