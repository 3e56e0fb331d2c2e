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
  # A session with ttl ends after so many milliseconds.
  post('/login') do
    session[:user] = params[:user] || 'alice'
    session[:until] = Time.now.to_f + params[:ttl].to_i / 1000.0 if params[:ttl]
    'ok'
  end
  get('/me') do
    session.clear if session[:until] && Time.now.to_f > session[:until]
    session[:user] || halt(401, 'no')
  end
  post('/logout') { session.clear; session.options[:drop] = true if ENV['POOL']; 'bye' }
  run!
end
