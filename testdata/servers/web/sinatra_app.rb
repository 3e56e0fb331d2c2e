# Sinatra with Rack's encrypted cookie session, and one with a pool on the server.
require 'sinatra/base'

class Carried < Sinatra::Base
  set :bind, '127.0.0.1'
  set :port, ENV.fetch('PORT').to_i
  set :server, :webrick
  set :environment, :production
  set :session_secret, 'made-up' * 10
  if ENV['POOL']
    use Rack::Session::Pool, key: 'pool.id'
  else
    enable :sessions
  end
  post('/login') { session[:user] = params[:user] || 'alice'; 'ok' }
  get('/me') { session[:user] || halt(401, 'no') }
  post('/logout') { session.clear; session.options[:drop] = true if ENV['POOL']; 'bye' }
  run!
end
