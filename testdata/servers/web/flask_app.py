"""Flask with flask-login: the session is a signed cookie."""
import os

from flask import Flask, request
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user

app = Flask(__name__)
app.secret_key = "made-up"
manager = LoginManager(app)


class User(UserMixin):
    def __init__(self, name):
        self.id = name


@manager.user_loader
def load(name):
    return User(name)


@app.post("/login")
def login():
    login_user(User(request.args.get("user", "alice")))
    return "ok"


@app.get("/me")
@login_required
def me():
    return current_user.id


@app.post("/logout")
def logout():
    logout_user()
    return "bye"


app.run("127.0.0.1", int(os.environ["PORT"]))
