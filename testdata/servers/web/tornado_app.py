"""Tornado with its signed cookie."""
import asyncio
import os

import tornado.web


class Handler(tornado.web.RequestHandler):
    def get_current_user(self):
        return self.get_secure_cookie("torn")


class Login(Handler):
    def post(self):
        self.set_secure_cookie("torn", self.get_argument("user", "alice") + ":" + os.urandom(6).hex())
        self.write("ok")


class Me(Handler):
    def get(self):
        if not self.current_user:
            self.set_status(401)
            self.write("no")
            return
        self.write(self.current_user)


class Logout(Handler):
    def post(self):
        self.clear_cookie("torn")
        self.write("bye")


async def main():
    app = tornado.web.Application([("/login", Login), ("/me", Me), ("/logout", Logout)], cookie_secret="made-up" * 6)
    app.listen(int(os.environ["PORT"]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
