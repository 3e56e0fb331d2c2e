// node --test .github/action
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { built, platform, released, sourceDigest } from './main.mjs'

const sha = (b) => createHash('sha256').update(b).digest('hex')
const made = []
after(() => made.forEach((d) => rmSync(d, { recursive: true, force: true })))
const binary = Buffer.from('#!/bin/sh\necho quell\n')

function action(release) {
  const root = mkdtempSync(join(tmpdir(), 'action-'))
  for (const d of ['cmd', 'revokers', 'rules', 'scanners', '.github/action']) mkdirSync(join(root, d), { recursive: true })
  writeFileSync(join(root, 'go.mod'), 'module x\n')
  writeFileSync(join(root, 'go.sum'), '')
  writeFileSync(join(root, 'cmd/main.go'), 'package main\n')
  if (release) writeFileSync(join(root, '.github/action/release.json'), JSON.stringify(release(root)))
  const temp = mkdtempSync(join(tmpdir(), 'temp-'))
  made.push(root, temp)
  return { root, temp, cache: join(temp, 'cache') }
}

const good = (root) => ({ version: '1.2.3', sources: sourceDigest(root), sha256: { [platform()]: sha(binary) } })
const serves = (bytes, status = 200) => {
  const f = async (url) => { f.asked.push(url); return new Response(bytes, { status }) }
  f.asked = []
  return f
}

test('the release that the commit names is fetched, checked, and kept', async () => {
  const a = action(good)
  const fetch = serves(gzipSync(binary))
  const to = await released(a.root, a.cache, a.temp, { fetch, base: 'https://releases.example' })
  assert.deepEqual(readFileSync(to), binary)
  assert.deepEqual(fetch.asked, [`https://releases.example/v1.2.3/quell-${platform()}.gz`])
  if (process.platform !== 'win32') assert.equal(statSync(to).mode & 0o111, 0o111)
  const again = await released(a.root, a.cache, a.temp, { fetch })
  assert.notEqual(again, to)
  assert.equal(fetch.asked.length, 1)
})

test('a release with another checksum is not written anywhere', async () => {
  const a = action(good)
  const fetch = serves(gzipSync(Buffer.from('something else')))
  await assert.rejects(released(a.root, a.cache, a.temp, { fetch }), /checksum differs/)
  assert.equal(fetch.asked.length, 1)
  assert.equal(existsSync(a.cache), false)
  assert.deepEqual(readdirSync(a.temp), [])
})

test('what was changed in the cache is fetched again', async () => {
  const a = action(good)
  mkdirSync(a.cache)
  writeFileSync(join(a.cache, `quell-${sha(binary)}`), 'poisoned')
  const fetch = serves(gzipSync(binary))
  assert.deepEqual(readFileSync(await released(a.root, a.cache, a.temp, { fetch })), binary)
  assert.equal(fetch.asked.length, 1)
})

test('a commit without a release of its own has none', async () => {
  const none = action()
  assert.equal(await released(none.root, none.cache, none.temp, { fetch: serves('') }), null)
  // Sources that differ from the release's: another commit.
  const later = action(good)
  writeFileSync(join(later.root, 'cmd/main.go'), 'package main // changed\n')
  assert.equal(await released(later.root, later.cache, later.temp, { fetch: serves('') }), null)
  const other = action((root) => ({ ...good(root), sha256: { 'plan9-mips': sha(binary) } }))
  assert.equal(await released(other.root, other.cache, other.temp, { fetch: serves('') }), null)
})

test('a server that fails is asked again, and then it is an error', async () => {
  const a = action(good)
  const fetch = serves('', 503)
  await assert.rejects(released(a.root, a.cache, a.temp, { fetch }), /answers 503/)
  assert.equal(fetch.asked.length, 3)
  const bomb = gzipSync(Buffer.alloc(257 << 20))
  await assert.rejects(released(a.root, a.cache, a.temp, { fetch: serves(bomb) }))
})

test('tests and files beside the sources do not change the digest, names do', () => {
  const a = action(good)
  const before = sourceDigest(a.root)
  writeFileSync(join(a.root, 'cmd/main_test.go'), 'package main\n')
  writeFileSync(join(a.root, 'README.md'), 'x')
  assert.equal(sourceDigest(a.root), before)
  cpSync(join(a.root, 'cmd/main.go'), join(a.root, 'cmd/other.go'))
  assert.notEqual(sourceDigest(a.root), before)
})

test('without Go there is a word on what to do', () => {
  const a = action()
  assert.throws(() => built(a.root, a.temp, () => ({ error: Object.assign(new Error('x'), { code: 'ENOENT' }) })), /no Go to build it with/)
  assert.throws(() => built(a.root, a.temp, () => ({ status: 1 })), /build failed/)
  const calls = []
  const to = built(a.root, a.temp, (...args) => { calls.push(args); return { status: 0 } })
  assert.deepEqual(calls[0].slice(0, 2), ['go', ['build', '-o', to, './cmd/quell']])
  assert.equal(calls[0][2].cwd, a.root)
  assert.equal(calls[0][2].env.GOWORK, 'off')
})
