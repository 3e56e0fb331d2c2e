// An application with express-session's in-memory store.
const express = require('express');
const session = require('express-session');

const app = express();
app.use(session({ secret: 'made-up', resave: false, saveUninitialized: false }));
app.post('/login', (q, r) => { q.session.user = q.query.user || 'alice'; r.send('ok'); });
app.get('/me', (q, r) => (q.session.user ? r.send(q.session.user) : r.status(401).send('no')));
app.post('/logout', (q, r) => q.session.destroy(() => r.send('bye')));
app.listen(+process.env.PORT, '127.0.0.1');
