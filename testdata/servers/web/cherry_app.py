"""CherryPy with sessions in memory, and a form with a token that the logout needs."""
import os
import secrets

import cherrypy


class App:
    @cherrypy.expose
    def login(self, user="alice", ttl=""):
        cherrypy.session.regenerate()
        cherrypy.session["ttl"] = int(ttl or 3600000) / 60000  # milliseconds; CherryPy counts minutes
        cherrypy.session.timeout = cherrypy.session["ttl"]
        cherrypy.session["user"] = user
        cherrypy.session["token"] = secrets.token_urlsafe(12)
        return "ok"

    @cherrypy.expose
    def me(self):
        user = cherrypy.session.get("user")
        if not user:
            raise cherrypy.HTTPRedirect("/signin?from=/me&at=" + secrets.token_hex(4))
        cherrypy.session.timeout = cherrypy.session["ttl"]
        return "<html><form action=/logout method=post><input type=hidden name=t value=%s><button>%s: out</button></form></html>" % (cherrypy.session["token"], user)

    @cherrypy.expose
    def signin(self, **_):
        return "sign in"

    @cherrypy.expose
    def logout(self, t=""):
        if t != cherrypy.session.get("token"):
            raise cherrypy.HTTPError(403)
        cherrypy.session.clear()
        return "bye"


cherrypy.config.update({"server.socket_host": "127.0.0.1", "server.socket_port": int(os.environ["PORT"]), "log.screen": False, "tools.sessions.on": True, "tools.sessions.name": "cherry", "engine.autoreload.on": False})
cherrypy.quickstart(App())
