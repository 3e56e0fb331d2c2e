#!/usr/bin/perl
# Mojolicious with its signed session cookie.
use Mojolicious::Lite -signatures;

app->secrets(['made-up']);
post '/login' => sub ($c) { $c->session(user => $c->param('user') // 'alice', n => rand); $c->render(text => 'ok') };
get '/me' => sub ($c) {
  my $user = $c->session('user') or return $c->render(text => 'no', status => 401);
  $c->render(text => $user);
};
post '/logout' => sub ($c) { $c->session(expires => 1); $c->render(text => 'bye') };
app->log->level('error');
app->start('daemon', '-l', "http://127.0.0.1:$ENV{PORT}");
