// Applications that end their sessions in different ways, each below a path of
// its own and with a cookie of its own name.
const crypto = require('crypto');
const express = require('express');
const session = require('express-session');

const top = express();
top.use(express.urlencoded({ extended: false }), express.json());

// mount makes an application with express-session. page shows the signed-in
// user, allowed decides about a logout.
function mount(path, name, { page, anonymous, allowed, logout, method = 'post' }) {
  const app = express.Router();
  app.use(session({ name, secret: 'made-up', resave: false, saveUninitialized: false, cookie: { path } }));
  app.post('/login', (q, r) => q.session.regenerate(() => { q.session.user = q.query.user || 'alice'; if (q.query.ttl) q.session.cookie.maxAge = +q.query.ttl; q.session.csrf = crypto.randomBytes(12).toString('base64'); r.send('ok'); }));
  app.get('/me', (q, r) => (q.session.user ? page(q, r) : anonymous(q, r)));
  app[method]('/logout', (q, r) => {
    if (allowed && !allowed(q)) return r.status(403).send('forbidden');
    return q.session.destroy(() => (logout ? logout(q, r) : r.redirect(303, path + '/login')));
  });
  if (logout) app.get('/signed-out', (q, r) => r.send('bye'));
  top.use(path, app);
}

const no = (q, r) => r.status(401).send('no');
const toLogin = (path) => (q, r) => r.redirect(302, path + '/login?next=' + encodeURIComponent(q.originalUrl));
const noise = () => `<p>Request ${crypto.randomUUID()} at ${new Date().toISOString()}</p>` + (crypto.randomInt(2) ? '<div><h2>New</h2><a href="/a">A</a></div>' : '<div class=b>Try B</div>');

mount('/own', 'acme.sso', { page: (q, r) => r.send(q.session.user), anonymous: no });
mount('/form', 'form-app', {
  page: (q, r) => r.send(`<html><title>${q.session.user}</title><form method=post action=/form/logout><input type=hidden name=_csrf value="${q.session.csrf}"><button>Out</button></form>${noise()}</html>`),
  anonymous: toLogin('/form'), allowed: (q) => q.body._csrf === q.session.csrf,
});
mount('/header', 'header_app', {
  page: (q, r) => r.send(`<html><meta name=csrf-token content=${q.session.csrf}><title>${q.session.user}</title></html>`),
  anonymous: (q, r) => r.status(401).send(`<html><h1>Unauthorized</h1>${noise()}</html>`), method: 'delete',
  allowed: (q) => q.get('X-CSRF-Token') === q.session.csrf && q.get('Origin') === 'http://' + q.get('Host') && q.get('X-Requested-With') === 'XMLHttpRequest',
});
mount('/deep/app', 'deep', { page: (q, r) => r.send(q.session.user), anonymous: toLogin('/deep/app'), method: 'get', logout: (q, r) => r.redirect('/deep/app/signed-out') });
// One page for everyone: only what it offers differs.
mount('/home', 'home.id', {
  page: (q, r) => r.send(`<html><title>Home</title>${q.session.user}<form method=post action=logout><button>Out</button></form>${noise()}</html>`),
  anonymous: (q, r) => r.send(`<html><title>Home</title><a href=login>Enter</a>${noise()}</html>`),
});
mount('/json', 'json.id', {
  page: (q, r) => r.json({ user: { name: q.session.user }, csrf: { token: q.session.csrf }, at: Date.now() }),
  anonymous: (q, r) => r.json({ user: null, csrf: null, at: Date.now() }),
  allowed: (q) => q.body.token === q.session.csrf,
});

// A session that the cookie itself carries: a logout only asks the browser to
// forget it.
const carried = express.Router();
const sign = (v) => crypto.createHmac('sha256', 'made-up').update(v).digest('base64url');
const read = (q) => {
  const m = /(?:^|; )carried=([^;]+)/.exec(q.get('Cookie') || '');
  const [h, p, s] = m ? m[1].split('.') : [];
  return p && s === sign(h + '.' + p) ? JSON.parse(Buffer.from(p, 'base64url')) : null;
};
carried.post('/login', (q, r) => {
  const body = Buffer.from('{"alg":"HS256"}').toString('base64url') + '.' + Buffer.from(JSON.stringify({ sub: q.query.user || 'alice', jti: crypto.randomUUID() })).toString('base64url');
  r.set('Set-Cookie', `carried=${body}.${sign(body)}; Path=/carried`).send('ok');
});
carried.get('/me', (q, r) => (read(q) ? r.send(read(q).sub) : r.status(401).send('no')));
carried.post('/logout', (q, r) => r.set('Set-Cookie', 'carried=; Max-Age=0; Path=/carried').send('bye'));
top.use('/carried', carried);

// cookie-session: the session in one cookie, its signature in another.
const pair = express.Router();
pair.use(require('cookie-session')({ name: 'pair', keys: ['made-up'], path: '/pair' }));
pair.post('/login', (q, r) => { q.session.user = q.query.user || 'alice'; q.session.n = crypto.randomUUID(); r.send('ok'); });
pair.get('/me', (q, r) => (q.session.user ? r.send(q.session.user) : r.status(401).send('no')));
pair.post('/logout', (q, r) => { q.session = null; r.send('bye'); });
top.use('/pair', pair);

// A session of which the cookie is signed by another one, and which the server keeps.
const kept = new Map();
const koa = new (require('koa'))();
koa.keys = ['made-up'];
koa.use((x) => {
  const user = kept.get(x.cookies.get('koa.id', { signed: true }));
  const path = x.path.replace(/^\/koa/, '');
  if (path === '/login') {
    const id = crypto.randomBytes(18).toString('base64url');
    kept.set(id, x.query.user || 'alice');
    x.cookies.set('koa.id', id, { signed: true, path: '/koa' });
    x.body = 'ok';
  } else if (path === '/logout' && x.method === 'POST') {
    kept.delete(x.cookies.get('koa.id', { signed: true }));
    x.body = 'bye';
  } else {
    x.status = user ? 200 : 401;
    x.body = user || 'no';
  }
});
const koaListener = koa.callback();
top.use((q, r, next) => (q.path.startsWith('/koa/') ? koaListener(q, r) : next()));

// Rows of PostgreSQL (connect-pg-simple), if there is a server.
if (process.env.PGDATABASE) {
  const store = new (require('connect-pg-simple')(session))({ createTableIfMissing: true });
  const rows = express.Router();
  rows.use(session({ name: 'rows.id', store, secret: 'made-up', resave: false, saveUninitialized: false, cookie: { path: '/rows' } }));
  rows.post('/login', (q, r) => { q.session.user = q.query.user || 'alice'; r.send('ok'); });
  rows.get('/me', (q, r) => (q.session.user ? r.send(q.session.user) : r.status(401).send('no')));
  top.use('/rows', rows);
}

top.listen(+process.env.PORT, '127.0.0.1');
