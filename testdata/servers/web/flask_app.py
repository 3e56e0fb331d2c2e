"""Flask with flask-login: the session is a signed cookie."""
import os

from flask import Flask
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user

app = Flask(__name__)
app.secret_key = "made-up"
manager = LoginManager(app)


class User(UserMixin):
    id = "alice"


@manager.user_loader
def load(_):
    return User()


@app.post("/login")
def login():
    login_user(User())
    return "ok"


@app.get("/me")
@login_required
def me():
    return "alice"


@app.post("/logout")
def logout():
    logout_user()
    return "bye"


app.run("127.0.0.1", int(os.environ["PORT"]))
